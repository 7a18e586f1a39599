// A block's kernels one after the other: the sum over its operations, communication left out; recomputation is the input gradient's.
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

}  // namespace
}  // namespace trillion::block_times_test
