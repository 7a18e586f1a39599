// The routed feed-forward network in PyTorch: grouped products do equal work in all directions, on as many rows as tokens have
// experts; the host waits for the counts of torch.bincount; the load of the busiest rank scales what it must.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "sim/workload/torch.h"
#include "tests/support/block_setting.h"

namespace trillion {
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

// The busiest expert's rows are what routing says, the others fall off from it, and no row is lost.
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
}  // namespace trillion
