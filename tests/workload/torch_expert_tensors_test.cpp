// The routed network's tensors. The algebra: three grouped products' weights are its parameters beside the router's; a rank whose experts
// get more rows than the mean holds more of them, in proportion; experts on several ranks add what is received and put in order.
#include <gtest/gtest.h>

#include <numeric>

#include "sim/workload/torch_tensors.h"
#include "tests/support/block_setting.h"

namespace trillion::torch_expert_tensors_test {
namespace {

using namespace testing_support;
using Kind = TensorTape::Event::Kind;

BlockTensors layer(double load, std::int64_t ranks) {
  BlockSetting setting(shipped_model("qwen3-30b-a3b"));
  setting.training.optimizer_state = {0, 2, 2, 2};
  setting.plan.expert_parallel = ranks;
  BlockContext c = setting.context();
  c.framework = Framework::torch_eager;
  return torch_tensors(BlockKind::moe_layer, c, load);
}

double taken(const TensorTape::Events& events) {
  return std::accumulate(events.begin(), events.end(), 0.0,
                         [](double sum, const auto& e) { return sum + (e.kind == Kind::take ? static_cast<double>(e.bytes) : 0); });
}

TEST(TorchExpertTensors, RowsGrowWithTheLoad) {
  const double one = taken(layer(1, 8).forward), two = taken(layer(2, 8).forward), three = taken(layer(3, 8).forward);
  EXPECT_GT(two, one);
  EXPECT_NEAR(three - two, two - one, 1e-6 * one);
}

TEST(TorchExpertTensors, RanksHoldTheirExpertsOnly) {
  const auto weights = [](std::int64_t ranks) {
    const std::vector<double> parameters = layer(1, ranks).parameters;
    return std::accumulate(parameters.begin(), parameters.end(), 0.0);
  };
  const Model model = shipped_model("qwen3-30b-a3b");
  const double experts = 3.0 * static_cast<double>(model.moe->n_routed_experts * model.hidden_size * model.moe->moe_intermediate_size);
  EXPECT_NEAR(weights(1) - weights(8), experts * 7 / 8, 1);
}

}  // namespace
}  // namespace trillion::torch_expert_tensors_test
