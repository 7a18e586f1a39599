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
  BlockSetting s(dense_model(1));
  s.plan.recompute = std::get<1>(GetParam());
  for (const BlockKind kind : {BlockKind::embedding, BlockKind::dense_layer, BlockKind::head}) {
    const BlockTensors b = torch_tensors(kind, torch_context(s, std::get<0>(GetParam())), 1);
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

double bytes_taken(const TensorTape::Events& events, const std::set<TensorTape::Tensor>& of) {
  double sum = 0;
  for (const TensorTape::Event& event : events) {
    if (event.kind == Kind::take && of.contains(event.tensor)) sum += static_cast<double>(event.bytes);
  }
  return sum;
}

// Beside the block's output, which is the next one's; its own input comes from the one before.
double kept(const BlockTensors& b) {
  std::set<TensorTape::Tensor> alive = alive_after(b, false);
  alive.erase(b.output);
  return bytes_taken(b.forward, alive);
}

TEST(TorchTensors, WhatIsSavedIsThereAfterTheForwardPass) {
  BlockSetting s(dense_model(1));
  for (const Framework framework : {Framework::torch_eager, Framework::torch_compiled}) {
    const BlockContext c = torch_context(s, framework);
    const double input = 2 * s.tokens() * static_cast<double>(s.model.hidden_size);
    const double saved = saved_bytes(make_block(BlockKind::dense_layer, c), s.routing).value();
    EXPECT_NEAR(kept(torch_tensors(BlockKind::dense_layer, c, 1)) + input, saved, 0.01 * saved);
  }
}

TEST(TorchTensors, RecomputationKeepsLessAndTakesMore) {
  BlockSetting s(dense_model(1));
  const auto layer = [&](std::vector<RecomputeModule> recompute) {
    s.plan.recompute = std::move(recompute);
    return torch_tensors(BlockKind::dense_layer, torch_context(s), 1);
  };
  const BlockTensors nothing = layer({}), products = layer({RecomputeModule::products}), all = layer({RecomputeModule::layer});
  EXPECT_EQ(kept(all), 0) << "but the input";
  EXPECT_LT(kept(products), kept(nothing));
  EXPECT_GT(products.backward.size(), nothing.backward.size());
  EXPECT_GT(all.backward.size(), products.backward.size());
}

}  // namespace
}  // namespace trillion::torch_tensors_test
