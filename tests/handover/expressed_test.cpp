// The nearest plan a framework can be asked for. The algebra, for every framework and random plans:
//   valid       it is a plan
//   projection  the nearest of the nearest is itself, and nothing more is lost
//   honest      a plan changes if and only if something is said to be lost, beyond what means the same
#include "sim/handover/expressed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/error.h"
#include "tests/handover/support/plans.h"

namespace trillion::expressed_test {
namespace {

using namespace testing_support;
using testing::HasSubstr;
using testing::IsEmpty;

Scenario with(Scenario s, const Plan& plan) {
  s.plan = plan;
  return s;
}

TEST(ExpressedProperty, IsAProjection) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const Scenario s = random_scenario(seed);
    for (std::size_t i = 0; i < kTargetNames.size(); ++i) {
      SCOPED_TRACE("seed " + std::to_string(seed) + " " + std::string(kTargetNames[i]));
      const Expressed once = expressed(static_cast<Target>(i), s);
      ASSERT_THAT(once.plan.validate(), IsEmpty());
      const Expressed again = expressed(static_cast<Target>(i), with(s, once.plan));
      EXPECT_THAT(again.lost, IsEmpty());
      EXPECT_EQ(again.plan, once.plan);
      EXPECT_EQ(canonical(with(s, canonical(s))), canonical(s));
      if (once.lost.empty()) {
        Plan same = canonical(s);  // activation of experts alone has a word of its own
        same.recompute = once.plan.recompute;
        EXPECT_EQ(once.plan, same);
      } else {
        EXPECT_NE(once.plan, canonical(s));
      }
    }
  }
}

TEST(Expressed, WhatOneRankMakesMeaninglessIsAtItsDefault) {
  Plan p;
  p.data_parallel = 8;
  p.layers_per_stage = {8};
  p.tensor_parallel_overlap = TensorOverlap::none;
  p.context_parallel_method = ContextParallelMethod::ring;
  p.schedule = ScheduleKind::gpipe;
  p.sharding_group = 8;
  p.recompute = {RecomputeModule::attention, RecomputeModule::norm};
  const Plan c = canonical(linear_scenario(dense_model(8), p, 1, 8));
  Plan expected;
  expected.data_parallel = 8;
  expected.layers_per_stage = {8};
  expected.recompute = {RecomputeModule::norm, RecomputeModule::attention};
  EXPECT_EQ(c, expected);
}

TEST(Expressed, APlanIsHandedOverAsItWasSimulated) {
  EXPECT_THROW(canonical(linear_scenario(dense_model(8), Plan{}, 1, 8)), InternalError);
}

TEST(Expressed, EveryFrameworkLosesDualPipeInItsOwnWay) {
  const Scenario s = dualpipe_scenario();
  EXPECT_EQ(expressed(Target::megatron, s).plan.schedule, ScheduleKind::one_f_one_b);
  EXPECT_EQ(expressed(Target::megatron_bridge, s).plan, expressed(Target::megatron, s).plan);
  const Expressed titan = expressed(Target::torchtitan, s);
  EXPECT_EQ(titan.plan.schedule, ScheduleKind::dualpipe_v);
  EXPECT_EQ(titan.plan.layers_per_stage->size(), 8u) << "two stages a rank";
  EXPECT_THAT(titan.lost.front(), HasSubstr("plan.schedule: dualpipe -> dualpipe-v"));
  EXPECT_EQ(expressed(Target::deepspeed, s).plan.precision, Precision::bf16);
}

}  // namespace
}  // namespace trillion::expressed_test
