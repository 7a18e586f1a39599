// The routed feed-forward network in PyTorch: grouped products do equal work in all directions, on as many rows as tokens have
// experts; the host waits for the counts of torch.bincount; the load of the busiest rank scales what it must.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "sim/workload/torch.h"
#include "tests/support/block_setting.h"

namespace trillion::torch_experts_test {
namespace {

using namespace testing_support;

Block layer(Framework framework) {
  const BlockSetting s(moe_model(4));
  BlockContext c = s.context();
  c.framework = framework;
  return make_block(BlockKind::moe_layer, c);
}

TEST(TorchExperts, GroupedProductsDoEqualWorkInAllDirections) {
  for (const Framework framework : {Framework::torch_eager, Framework::torch_compiled}) {
    const Block b = layer(framework);
    const double forward = work<GroupedGemm>(b.experts);
    EXPECT_DOUBLE_EQ(forward, 2.0 * 4096 * 8 * 3 * 4096 * 1536);
    EXPECT_DOUBLE_EQ(work<GroupedGemm>(b.experts_backward), forward);
    EXPECT_DOUBLE_EQ(work<GroupedGemm>(b.experts_weight), forward);
    EXPECT_EQ(of_type<GroupedGemm>(b.experts).size(), 3u);
    for (const GroupedGemm& g : of_type<GroupedGemm>(b.experts_weight)) EXPECT_FALSE(g.accumulate_fp32);
  }
}

TEST(TorchExperts, TheHostWaitsTwiceForCounts) {
  const Block b = layer(Framework::torch_eager);
  EXPECT_EQ(std::count_if(b.before_exchange.begin(), b.before_exchange.end(), [](const Operation& op) { return op.host_waits; }), 2);
  EXPECT_EQ(std::count_if(b.experts_backward.begin(), b.experts_backward.end(), [](const Operation& op) { return op.host_waits; }), 0);
}

// Over several ranks each row is gathered and put back twice more, each way by the kernels of calibration/steps/parallel_layers.py, and the
// host waits for one count more.
TEST(TorchExperts, OverSeveralRanksRowsAreSortedAgainAndTheHostWaitsOnceMore) {
  BlockSetting s(moe_model(4));
  const auto made = [&] {
    BlockContext c = s.context();
    c.framework = Framework::torch_eager;
    return make_block(BlockKind::moe_layer, c);
  };
  const auto count = [](const Operations& ops, MemoryKernel kernel) {
    const std::vector<MemoryBound> all = of_type<MemoryBound>(ops);
    return std::count_if(all.begin(), all.end(), [&](const MemoryBound& m) { return m.kernel == kernel; });
  };
  const Block alone = made();
  s.plan.expert_parallel = 2;
  s.plan.data_parallel = 2;
  const Block apart = made();
  EXPECT_EQ(count(alone.experts, MemoryKernel::torch_index_select), 1);
  EXPECT_EQ(count(apart.experts, MemoryKernel::torch_index_select), 3);
  EXPECT_EQ(count(alone.experts_backward, MemoryKernel::torch_index_add_bf16), 1);
  EXPECT_EQ(count(apart.experts_backward, MemoryKernel::torch_index_add_bf16), 3);
  EXPECT_EQ(count(apart.experts, MemoryKernel::torch_argsort), 1);
  EXPECT_EQ(std::count_if(apart.before_exchange.begin(), apart.before_exchange.end(), [](const Operation& op) { return op.host_waits; }),
            3);
}

// The busiest expert's rows are what routing says, the others fall off from it, and no row is lost.
// What adds the experts' rows up keeps them, so their last product runs again; with a shared expert everything before its own last does.
TEST(TorchExperts, RecomputationEndsWhereRowsAreAddedUp) {
  BlockSetting s(shipped_model("qwen3-30b-a3b"));
  s.plan.recompute = {RecomputeModule::layer};
  BlockContext c = s.context();
  c.framework = Framework::torch_eager;
  const Block b = make_block(BlockKind::moe_layer, c);
  EXPECT_EQ(b.recompute.back().label, std::string(kZeroedResult) + " again");
  EXPECT_TRUE(has(b.recompute, "experts down again"));
}

TEST(TorchExperts, RowsOfExpertsSpreadAsFarAsTheBusiest) {
  BlockSetting s(moe_model(4));
  s.routing.tokens_per_expert_max_over_mean = 1.25;
  BlockContext c = s.context();
  const auto rows = [&] { return of_type<GroupedGemm>(make_block(BlockKind::moe_layer, c).experts).front().m; };
  const std::vector<std::int64_t> even = rows();
  EXPECT_EQ(std::set<std::int64_t>(even.begin(), even.end()).size(), 1u);
  c.framework = Framework::torch_eager;
  const std::vector<std::int64_t> spread = rows();
  EXPECT_EQ(std::accumulate(spread.begin(), spread.end(), std::int64_t{0}), 4096 * 8);
  EXPECT_NEAR(static_cast<double>(*std::max_element(spread.begin(), spread.end())), 1.25 * 512, 2);
  EXPECT_TRUE(std::is_sorted(spread.begin(), spread.end()));
}

TEST(TorchExperts, RowsScaleWithTheLoadAndTokensDoNot) {
  const Block b = layer(Framework::torch_eager);
  EXPECT_EQ(named(b.experts, "gather rows").scale, LoadScale::rank_load);
  EXPECT_EQ(named(b.experts, "add rows to tokens").scale, LoadScale::rank_load);
  EXPECT_EQ(named(b.experts, "zero result").scale, LoadScale::none);
  EXPECT_EQ(named(b.experts, "shared expert up").scale, LoadScale::none);
}

}  // namespace
}  // namespace trillion::torch_experts_test
