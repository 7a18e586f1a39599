// The routed feed-forward network in PyTorch: grouped products do equal work in all directions, on as many rows as tokens have
// experts; the host waits for the counts of torch.bincount; the load of the busiest rank scales what it must.
#include <gtest/gtest.h>

#include <algorithm>

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

TEST(TorchExperts, RowsScaleWithTheLoadAndTokensDoNot) {
  const Block b = layer(Framework::torch_eager);
  EXPECT_EQ(named(b.experts, "gather rows").scale, LoadScale::rank_load);
  EXPECT_EQ(named(b.experts, "add rows to tokens").scale, LoadScale::rank_load);
  EXPECT_EQ(named(b.experts, "zero result").scale, LoadScale::none);
  EXPECT_EQ(named(b.experts, "shared expert up").scale, LoadScale::none);
}

}  // namespace
}  // namespace trillion
