// What torchtitan has no words for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/handover/support/plans.h"

namespace trillion::expressed_torchtitan_test {
namespace {

using namespace testing_support;
using testing::HasSubstr;

Scenario with(Plan p) {
  p.data_parallel = 8;
  if (!p.layers_per_stage) p.layers_per_stage = std::vector<std::int64_t>(static_cast<std::size_t>(stage_count(p)), 8 / stage_count(p));
  return linear_scenario(moe_model(8), p, p.tensor_parallel * p.pipeline_parallel * p.context_parallel, 64);
}

TEST(ExpressedInTorchtitan, FsdpShardsGradientsToo) {
  const Expressed e = expressed_in_torchtitan(with({}));
  EXPECT_EQ(e.plan.sharding, Sharding::zero_2);
  EXPECT_TRUE(e.plan.overlap_parameter_gather);
  Plan full;
  full.sharding = Sharding::zero_3;
  EXPECT_TRUE(expressed_in_torchtitan(with(full)).lost.empty());
}

TEST(ExpressedInTorchtitan, PyTorchsSchedulesStay) {
  for (const ScheduleKind kind : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::zb_v, ScheduleKind::dualpipe_v}) {
    Plan p;
    p.pipeline_parallel = 4;
    p.schedule = kind;
    EXPECT_EQ(expressed_in_torchtitan(with(p)).plan.schedule, kind);
  }
  Plan file;
  file.pipeline_parallel = 2;
  file.schedule_file = ScheduleFile{"s.csv", "0F0,0B0\n1F0,1B0\n"};
  EXPECT_TRUE(expressed_in_torchtitan(with(file)).plan.schedule_file) << "its CSV files are PyTorch's";
}

TEST(ExpressedInTorchtitan, RecomputesByOperationOrByLayer) {
  Plan p;
  p.recompute = {RecomputeModule::moe};
  const Expressed e = expressed_in_torchtitan(with(p));
  EXPECT_THAT(e.lost, testing::Contains(HasSubstr("plan.recompute: moe -> norm+activation")));
  p.recompute = {RecomputeModule::products};
  EXPECT_EQ(expressed_in_torchtitan(with(p)).plan.recompute, p.recompute) << "torchtitan's own";
  EXPECT_TRUE(expressed_in_megatron(with(p)).plan.recompute.empty());
  p.recompute = {RecomputeModule::layer};
  p.recomputed_layers = {RecomputeMethod::block, 3};
  EXPECT_EQ(expressed_in_torchtitan(with(p)).plan.recomputed_layers, RecomputedLayers{});
}

}  // namespace
}  // namespace trillion::expressed_torchtitan_test
