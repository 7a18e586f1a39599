// Every framework's file for the same plan: the prediction is in it, or in the notes beside it.
#include "sim/handover/hand_over.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/handover/support/plans.h"

namespace trillion::hand_over_test {
namespace {

using namespace testing_support;
using testing::HasSubstr;

TEST(HandOver, EveryFrameworkSaysThePrediction) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const HandedPlan plan = handed(random_scenario(seed));
    for (std::size_t i = 0; i < kTargetNames.size(); ++i) {
      const HandedOver h = hand_over(static_cast<Target>(i), plan);
      EXPECT_FALSE(h.text.empty());
      EXPECT_THAT(h.text + h.notes, HasSubstr("GPU-hours per trillion tokens")) << kTargetNames[i];
      EXPECT_EQ(h.notes.empty(), static_cast<Target>(i) != Target::deepspeed);
      EXPECT_EQ(h.text, hand_over(static_cast<Target>(i), plan).text) << "the same bytes";
    }
  }
}

TEST(HandOver, ThePlanIsTheSimulatedOne) {
  Scenario s = dualpipe_scenario();
  StepResult step;
  step.data_parallel = 16;
  step.layers_per_stage = {4, 4, 4, 3};
  s.plan.data_parallel.reset();
  s.plan.layers_per_stage.reset();
  const Plan p = resolved(s, step).plan;
  EXPECT_EQ(p.data_parallel, 16);
  EXPECT_EQ(p.layers_per_stage, step.layers_per_stage);
}

}  // namespace
}  // namespace trillion::hand_over_test
