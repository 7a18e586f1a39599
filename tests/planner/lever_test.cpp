// A quantity that may be otherwise. The algebra:
//   families   what one probe measures together; a stand-in belongs to whom it was taken from
//   change     by f and then by 1 / f is no change; a family's kernels take f times as long and no others do
//   which      nobody doubts a price that is not asked for, nor a router that is forced
#include "sim/planner/lever.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sim/timing/timing.h"
#include "tests/support/linear_machine.h"

namespace trillion::lever_test {
namespace {

using namespace testing_support;

Scenario setting() {
  Scenario s = linear_scenario(moe_model(4), {}, 2, 16);
  s.cluster.price = Price{UsdPerSecond{2.0 / 3600}, {}};
  s.cluster.scale_out.nic_latency = Seconds{1e-6};
  return s;
}

Lever of(LeverKind kind, const std::string& name = "") { return {kind, name, {}, {}, {}}; }

bool has(const std::vector<Lever>& levers, LeverKind kind) {
  return std::any_of(levers.begin(), levers.end(), [&](const Lever& l) { return l.kind == kind; });
}

TEST(Lever, FamiliesAreWhatIsMeasuredTogether) {
  EXPECT_EQ(kernel_family("gemm fp8_block forward sustained"), "gemm fp8_block");
  EXPECT_EQ(kernel_family("grouped_gemm bf16 weight_gradient accumulate burst"), "grouped_gemm bf16");
  EXPECT_EQ(kernel_family("attention bf16 192/128 backward sustained"), "attention bf16 192/128");
  EXPECT_EQ(kernel_family("memory_bound rms_norm sustained"), "memory_bound");
  EXPECT_EQ(kernel_family("collective all_gather"), "collective all_gather");
  EXPECT_EQ(kernel_family("collective expert_combine sustained"), "collective expert_combine");
  EXPECT_EQ(kernel_family("gemm fp8 forward sustained (as gemm bf16 forward burst)"), "gemm bf16");
}

TEST(Lever, OnlyTheFamilysKernelsTakeLonger) {
  const Scenario s = setting(), t = with_lever(s, of(LeverKind::kernel_time, "gemm bf16"), 1.5);
  const Timing before(s.calibration, s.cluster), after(t.calibration, t.cluster);
  const Conditions sustained{.load = Load::sustained};
  const Gemm product{DType::bf16, 4096, 4096, 4096};
  const MemoryBound copy{.kernel = MemoryKernel::copy, .read = Bytes{1e9}, .written = Bytes{1e9}};
  EXPECT_NEAR(after.time(product, sustained).time / before.time(product, sustained).time, 1.5, 1e-12);
  EXPECT_EQ(after.time(copy, sustained).time, before.time(copy, sustained).time);
  const Gemm finer{DType::fp8_block, 4096, 4096, 4096};
  EXPECT_EQ(after.time(finer, sustained).time, before.time(finer, sustained).time);
}

TEST(Lever, ThereAndBackIsNoChange) {
  const Scenario s = setting();
  const auto figures = [](const Scenario& x) {
    return std::vector<double>{x.calibration.gemms.front().info.scale,  x.calibration.stack.beside_communication_gemm.value,
                               x.cluster.scale_up.bandwidth.value(),    x.cluster.scale_out.nic_bandwidth.value(),
                               x.cluster.scale_out.nic_latency.value(), x.cluster.price->per_gpu.value(),
                               x.training.routing.domain_skew,          x.training.routing.popularity_skew,
                               x.cluster.gpu.usable_memory.value()};
  };
  for (const Lever& lever : {of(LeverKind::kernel_time, "gemm bf16"), of(LeverKind::stack, "beside_communication_gemm"),
                             of(LeverKind::nvlink), of(LeverKind::nic), of(LeverKind::network_latency), of(LeverKind::price),
                             of(LeverKind::domain_skew), of(LeverKind::popularity_skew), of(LeverKind::memory)}) {
    const Scenario changed = with_lever(s, lever, 1.25), back = with_lever(changed, lever, 1 / 1.25);
    const std::vector<double> was = figures(s), is = figures(changed), again = figures(back);
    std::size_t differ = 0;
    for (std::size_t i = 0; i < was.size(); ++i) {
      differ += was[i] != is[i] ? 1 : 0;
      EXPECT_NEAR(again[i], was[i], 1e-12 * was[i]);
    }
    EXPECT_EQ(differ, 1u) << "one figure of those above, no other";
  }
}

TEST(Lever, IntervalsAreTheCurvesByTheirShareOfTheTime) {
  CurveInfo wide = exact("gemm bf16 forward sustained"), narrow = exact("gemm bf16 input_gradient sustained");
  wide.residuals.p90 = 0.2;
  narrow.residuals.p90 = 0.1;
  const std::vector<Lever> found = levers(setting(), 0, {{wide, 0.3}, {narrow, 0.1}});
  ASSERT_EQ(found.front().name, "gemm bf16");
  EXPECT_NEAR(*found.front().interval, (0.3 * 0.2 + 0.1 * 0.1) / 0.4, 1e-12);
}

TEST(Lever, WhatNobodyAskedForIsNotDoubted) {
  Scenario s = setting();
  EXPECT_FALSE(has(levers(s, {}, {}), LeverKind::price));
  s.search.objective = Objective::usd;
  EXPECT_TRUE(has(levers(s, {}, {}), LeverKind::price));
  EXPECT_TRUE(common_levers(s).empty()) << "the routing is forced";
  s.training.routing.balance = Balance::loss_free;
  EXPECT_TRUE(has(common_levers(s), LeverKind::domain_skew));
  EXPECT_FALSE(has(common_levers(s), LeverKind::popularity_skew)) << "balanced away";
  s.training.routing.balance = Balance::none;
  EXPECT_TRUE(has(common_levers(s), LeverKind::popularity_skew));
}

}  // namespace
}  // namespace trillion::lever_test
