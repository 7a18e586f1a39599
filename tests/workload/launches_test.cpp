// What the host does around a block's kernels. The algebra:
//   every kernel keeps its time; only host_calls change, and only on the compute stream
//   a layer     forward: 4 linear products of 13 calls (Megatron-LM's own modules: 6), attention's own; backward: 4 of 6 (3)
//   again       a layer that runs again costs its forward pass and 10 calls
//   collective  2 calls, with the kernel after it
#include "sim/workload/launches.h"

#include <gtest/gtest.h>

#include "tests/support/block_setting.h"

namespace trillion::launches_test {
namespace {

using namespace testing_support;

int calls(const Operations& ops) {
  int sum = 0;
  for (const Operation& op : ops) sum += op.host_calls;
  return sum;
}

BlockSetting gpt(std::int64_t tensor_parallel = 1) {
  BlockSetting setting(shipped_model("gpt3-175b"));
  setting.plan.tensor_parallel = tensor_parallel;
  setting.plan.tensor_parallel_overlap = TensorOverlap::none;
  setting.unfused = {UnfusedPart::launches};
  return setting;
}

TEST(Launches, NothingIsCountedWithoutTheWord) {
  BlockSetting setting = gpt();
  setting.unfused.clear();
  const Block b = setting.block(BlockKind::dense_layer);
  for (const Operations* ops : {&b.before_exchange, &b.experts, &b.experts_backward, &b.before_exchange_backward})
    EXPECT_EQ(calls(*ops), 0);
}

TEST(Launches, ALayersCallsAreThoseOfItsModules) {
  BlockSetting setting = gpt();
  const Block b = setting.block(BlockKind::dense_layer);
  EXPECT_EQ(calls(b.before_exchange), 2 * 13 + 8);
  EXPECT_EQ(calls(b.experts), 2 * 13);
  EXPECT_EQ(calls(b.experts_backward), 2 * 6);
  EXPECT_EQ(calls(b.before_exchange_backward), 2 * 6 + 8);
  EXPECT_EQ(calls(b.experts_weight) + calls(b.before_exchange_weight), 0);
  BlockSetting blocking = gpt();
  blocking.unfused = {UnfusedPart::blocking};
  EXPECT_EQ(calls(blocking.block(BlockKind::dense_layer).before_exchange), 2 * 13 + 8);
  setting.unfused.push_back(
      UnfusedPart::attention);  // scores, softmax, dropout, values | 4 products, dropout, softmax; dropout after both modules
  const Block u = setting.block(BlockKind::dense_layer);
  EXPECT_EQ(calls(u.before_exchange), 2 * 6 + 3 + 1 + 4 + 3);
  EXPECT_EQ(calls(u.before_exchange_backward), 2 * 3 + 4 * 3 + 1 + 2 * 4);
}

TEST(Launches, ACollectiveIsCountedWithTheKernelAfterIt) {
  const Block one = gpt(1).block(BlockKind::dense_layer), eight = gpt(8).block(BlockKind::dense_layer);
  EXPECT_EQ(calls(eight.before_exchange), calls(one.before_exchange) + 2);
  for (const Operation& op : eight.before_exchange) EXPECT_TRUE(op.lane == Lane::compute || op.host_calls == 0) << op.label;
}

TEST(Launches, ALayerThatRunsAgainCostsItsForwardPassAndTheCheckpoint) {
  BlockSetting setting = gpt();
  const Block kept = setting.block(BlockKind::dense_layer);
  setting.plan.recompute = {RecomputeModule::layer};
  const Block again = setting.block(BlockKind::dense_layer);
  EXPECT_EQ(calls(again.recompute), calls(kept.before_exchange) + calls(kept.experts) + 10);
  EXPECT_EQ(calls(again.experts_backward), calls(kept.experts_backward));
}

TEST(Launches, AGroupedProductIsIssuedExpertByExpert) {
  Plan plan;
  plan.expert_parallel = 8;
  BlockSetting setting(shipped_model("qwen3-30b-a3b"), plan);
  setting.unfused = {UnfusedPart::launches};
  const Block b = setting.block(BlockKind::moe_layer);
  EXPECT_EQ(named(b.experts, "experts up").host_calls, 128 / 8);
  setting.plan.precision = Precision::fp8;  // casts, scales and their bookkeeping
  EXPECT_EQ(named(setting.block(BlockKind::moe_layer).experts, "experts up").host_calls, 2 * 128 / 8);
  EXPECT_EQ(named(b.before_exchange, "gate top-k").host_calls, 10);
}

}  // namespace
}  // namespace trillion::launches_test
