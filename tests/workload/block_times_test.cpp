// A block's kernels one after the other: the sum over its operations, communication left out; recomputation is the input gradient's.
// As chains, with the communication that a pass waits for:
//   parts    lead, busy and tail are kernels and communication, all of a chain that nothing runs beside
//   joined   what lies between two kernels keeps the compute stream from others, what comes first or last does not
//   load     more of it is never shorter
#include "sim/workload/block_times.h"

#include <gtest/gtest.h>

#include "tests/support/block_setting.h"

namespace trillion::block_times_test {
namespace {

using namespace testing_support;

TEST(BlockTimes, AddsUpKernelsByPass) {
  BlockSetting setting{moe_model(4)};
  setting.plan.expert_parallel = 16;
  const Calibration calibration = linear_calibration();
  const Cluster cluster = linear_cluster(4);
  const Timing timing(calibration, cluster);
  const Conditions conditions{.sms = cluster.gpu.sms, .load = Load::sustained};
  for (const BlockKind kind : {BlockKind::dense_layer, BlockKind::moe_layer, BlockKind::head}) {
    const Block block = setting.block(kind);
    const BlockTimes times = block_times(block, timing, conditions);
    Seconds forward;
    for (const Operations* ops : {&block.before_exchange, &block.experts}) {
      for (const Operation& op : *ops) {
        if (const auto* gemm = std::get_if<Gemm>(&op.what)) forward += timing.time(Kernel{*gemm}, conditions).time;
        if (const auto* gemm = std::get_if<GroupedGemm>(&op.what)) forward += timing.time(Kernel{*gemm}, conditions).time;
        if (const auto* a = std::get_if<Attention>(&op.what)) forward += timing.time(Kernel{*a}, conditions).time;
        if (const auto* m = std::get_if<MemoryBound>(&op.what)) forward += timing.time(Kernel{*m}, conditions).time;
      }
    }
    EXPECT_DOUBLE_EQ(times.forward.value(), forward.value());
    EXPECT_GT(times.weight_gradient.value(), 0);
    EXPECT_DOUBLE_EQ(times.total().value(), (times.forward + times.input_gradient + times.weight_gradient).value());
    Block without_experts = block;
    without_experts.recompute.insert(without_experts.recompute.end(), block.experts.begin(), block.experts.end());
    EXPECT_GE(block_times(without_experts, timing, conditions).input_gradient, times.input_gradient);
  }
}

TEST(BlockTimes, ChainsAreKernelsAndWhatTheyWaitFor) {
  BlockSetting setting = deepseek_v3(16);
  const Calibration calibration = linear_calibration();
  const Cluster cluster = linear_cluster(4);
  const Timing timing(calibration, cluster);
  const Conditions conditions{.sms = cluster.gpu.sms, .load = Load::sustained};
  const Block block = setting.block(BlockKind::moe_layer);
  const BlockTimes kernels = block_times(block, timing, conditions);
  const BlockChains chains = block_chains(block, {}, timing, conditions);
  EXPECT_DOUBLE_EQ(chains.forward.kernels, kernels.forward.value());
  EXPECT_DOUBLE_EQ(chains.weights, kernels.weight_gradient.value());
  const double dispatch = timing.time(std::get<Collective>(block.exchanges.dispatch->what)).time.value();
  const double combine = timing.time(std::get<Collective>(block.exchanges.combine->what)).time.value();
  ASSERT_GT(dispatch, 0);
  EXPECT_DOUBLE_EQ(chains.forward.lead, 0);
  EXPECT_NEAR(chains.forward.busy / (kernels.forward.value() + dispatch), 1, 1e-12) << "experts wait for the dispatch";
  EXPECT_DOUBLE_EQ(chains.forward.tail, combine);
  EXPECT_DOUBLE_EQ(chains.forward.exchanges, dispatch + combine);
  EXPECT_GT(chains.backward.lead, 0) << "the output's gradient goes to the experts first";
  ChainTime two = chains.forward;
  two += chains.forward;
  EXPECT_NEAR(two.busy / (2 * chains.forward.busy + combine), 1, 1e-12);
  EXPECT_DOUBLE_EQ(two.tail, combine);
  LayerRouting uneven;
  uneven.rank_load_max_over_mean = 1.5;
  EXPECT_GT(block_chains(block, uneven, timing, conditions).forward.busy, chains.forward.busy);
}

}  // namespace
}  // namespace trillion::block_times_test
