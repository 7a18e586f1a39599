// The tensors of a block, forward and backward. The algebra:
//   what is taken is dropped by the end of the backward pass, the output by whoever reads it, the input's gradient likewise
//   what is there after the forward pass is what Block::saved counts
//   recomputation keeps less and takes more
#include "sim/workload/torch_tensors.h"

#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "tests/support/block_setting.h"

namespace trillion::torch_tensors_test {
namespace {

using namespace testing_support;
using Kind = TensorTape::Event::Kind;

struct Settings {
  BlockSetting setting{dense_model(1)};
  Framework framework = Framework::torch_eager;

  BlockContext context() {
    setting.training.optimizer_state = {0, 2, 2, 2};
    BlockContext c = setting.context();
    c.framework = framework;
    return c;
  }
};

std::set<TensorTape::Tensor> alive_after(const BlockTensors& b, bool backward) {
  std::set<TensorTape::Tensor> alive{TensorTape::kInput};
  if (backward) alive.insert(TensorTape::kOutputGradient);
  const auto play = [&](const TensorTape::Events& events) {
    for (const TensorTape::Event& event : events) {
      if (event.kind == Kind::take) {
        EXPECT_TRUE(alive.insert(event.tensor).second) << "taken twice: " << event.tensor;
      } else if (event.kind == Kind::drop) {
        EXPECT_EQ(alive.erase(event.tensor), 1u) << "not there: " << event.tensor;
      }
    }
  };
  play(b.forward);
  if (backward) play(b.backward);
  return alive;
}

class EveryRecomputation : public testing::TestWithParam<std::tuple<Framework, std::vector<RecomputeModule>>> {};

TEST_P(EveryRecomputation, LeavesNothingBehind) {
  Settings s;
  s.framework = std::get<0>(GetParam());
  s.setting.plan.recompute = std::get<1>(GetParam());
  for (const BlockKind kind : {BlockKind::embedding, BlockKind::dense_layer, BlockKind::head}) {
    const BlockTensors b = torch_tensors(kind, s.context(), 1);
    std::set<TensorTape::Tensor> left = alive_after(b, true);
    left.erase(b.output);
    left.erase(b.input_gradient);
    EXPECT_TRUE(left.empty()) << "block " << static_cast<int>(kind) << ": " << left.size() << " tensors, the first " << *left.begin();
  }
}

INSTANTIATE_TEST_SUITE_P(TorchTensors, EveryRecomputation,
                         testing::Combine(testing::Values(Framework::torch_eager, Framework::torch_compiled),
                                          testing::Values(std::vector<RecomputeModule>{}, std::vector{RecomputeModule::layer},
                                                          std::vector{RecomputeModule::products})));

}  // namespace
}  // namespace trillion::torch_tensors_test
