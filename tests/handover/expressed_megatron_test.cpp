// What Megatron-LM has no words for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/handover/support/plans.h"

namespace trillion::expressed_megatron_test {
namespace {

using namespace testing_support;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Expressed of(const Model& model, const Plan& plan) {
  Plan p = plan;
  p.data_parallel = 8;
  if (!p.layers_per_stage) p.layers_per_stage = std::vector<std::int64_t>(static_cast<std::size_t>(stage_count(p)), 8 / stage_count(p));
  return expressed_in_megatron(linear_scenario(model, p, p.tensor_parallel * p.context_parallel * p.pipeline_parallel, 64));
}

TEST(ExpressedInMegatron, KeepsWhatItKnows) {
  Plan p;
  p.pipeline_parallel = 4;
  p.schedule = ScheduleKind::interleaved_1f1b;
  p.virtual_pipeline_stages = 2;
  p.recompute = {RecomputeModule::norm, RecomputeModule::moe_activation};
  p.sharding_group = 4;
  EXPECT_THAT(of(moe_model(8), p).lost, IsEmpty());
}

TEST(ExpressedInMegatron, SchedulesBecome1f1bOrInterleaved) {
  Plan p;
  p.pipeline_parallel = 4;
  p.schedule = ScheduleKind::zb_v;
  const Expressed v = of(dense_model(8), p);
  EXPECT_EQ(v.plan.schedule, ScheduleKind::interleaved_1f1b);
  EXPECT_EQ(v.plan.virtual_pipeline_stages, 2);
  p.schedule = ScheduleKind::gpipe;
  EXPECT_EQ(of(dense_model(8), p).plan.schedule, ScheduleKind::one_f_one_b);
}

TEST(ExpressedInMegatron, ActivationsAreTheExpertsAlone) {
  Plan p;
  p.recompute = {RecomputeModule::norm, RecomputeModule::activation};
  EXPECT_THAT(of(dense_model(8), p).plan.recompute, ElementsAre(RecomputeModule::norm));
  const Expressed shared = of(moe_model(8), p);
  EXPECT_THAT(shared.plan.recompute, ElementsAre(RecomputeModule::norm, RecomputeModule::moe_activation));
  EXPECT_EQ(shared.lost.size(), 1u) << "those of the shared expert are kept";
  Model routed = moe_model(8);
  routed.moe->shared_intermediate_size = 0;
  EXPECT_THAT(of(routed, p).lost, IsEmpty()) << "there are no others";
}

TEST(ExpressedInMegatron, OverlapsThatItRefuses) {
  Plan p;
  p.tensor_parallel = 2;
  p.tensor_parallel_overlap = TensorOverlap::none;
  p.overlap_parameter_gather = true;
  p.overlap_gradient_reduce = false;
  p.offload = {Offload::activations};
  p.expert_placement = ExpertPlacement::load_balanced;
  p.redundant_experts = 16;
  const Expressed e = of(moe_model(8), p);
  EXPECT_THAT(e.lost, testing::UnorderedElementsAre(HasSubstr("tensor_parallel_overlap"), HasSubstr("sequence_parallel"),
                                                    HasSubstr("overlap_parameter_gather"), HasSubstr("offload"),
                                                    HasSubstr("redundant_experts: 16 -> 0"), HasSubstr("expert_placement")));
  EXPECT_TRUE(e.plan.sequence_parallel);
}

}  // namespace
}  // namespace trillion::expressed_megatron_test
