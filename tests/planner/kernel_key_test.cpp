// Which layouts run the same kernels: schedule, sharding and data parallelism do not matter, what shapes or surrounds a kernel does.
#include "sim/planner/kernel_key.h"

#include <gtest/gtest.h>

#include "tests/support/linear_machine.h"

namespace trillion::kernel_key_test {
namespace {

using namespace testing_support;

TEST(KernelKey, OnlyWhatKernelsDependOnTellsLayoutsApart) {
  Plan plan;
  plan.pipeline_parallel = 4;
  const Scenario s = linear_scenario(moe_model(8), plan, 2, 64);
  const auto key = [&](auto change) {
    Layout l{0, s.cluster.nodes, plan};
    change(l.plan);
    return kernel_key(l, s);
  };
  const std::string own = key([](Plan&) {});
  EXPECT_EQ(own, key([](Plan& p) { p.schedule = ScheduleKind::zb_h1; }));
  EXPECT_EQ(own, key([](Plan& p) { p.sharding = Sharding::none; }));
  EXPECT_EQ(own, key([](Plan& p) { p.overlap_parameter_gather = true; }));
  EXPECT_NE(own, key([](Plan& p) { p.schedule = ScheduleKind::dualpipe; })) << "leaves SMs to exchanges";
  EXPECT_NE(own, key([](Plan& p) { p.micro_batch_size = 2; }));
  EXPECT_NE(own, key([](Plan& p) { p.tensor_parallel = 2; }));
  EXPECT_NE(own, key([](Plan& p) { p.recompute = {RecomputeModule::layer}; }));
  EXPECT_NE(own, key([](Plan& p) { p.precision = Precision::fp8; }));
}

}  // namespace
}  // namespace trillion::kernel_key_test
