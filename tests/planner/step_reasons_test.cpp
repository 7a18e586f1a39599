// What separates layouts: shares of the step; and the best of each size.
#include "sim/planner/step_reasons.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/linear_machine.h"

namespace trillion::step_reasons_test {
namespace {

using namespace testing_support;

TEST(StepReasons, AreSharesOfTheStep) {
  const Scenario s = linear_scenario(dense_model(4), {}, 1, 16);
  Ranked r;
  r.layout.nodes = 1;
  r.step.time = Seconds{10};
  r.step.phases.bubble = Seconds{1};
  r.step.phases.optimizer = Seconds{0.5};
  r.step.exposed.tensor_parallel = Seconds{2};
  r.step.exposed.straggler = Seconds{3};  // waiting for work, no communication
  r.step.compute.recompute = Seconds{0.25};
  r.step.compute.attention = Seconds{4};
  r.step.model_flops_causal = Flops{3.0 * 8 * 1e15};  // three seconds of eight GPUs
  const StepReasons why = step_reasons(s, r);
  EXPECT_DOUBLE_EQ(why.bubble, 0.1);
  EXPECT_DOUBLE_EQ(why.exposed, 0.2);
  EXPECT_DOUBLE_EQ(why.recompute, 0.025);
  EXPECT_DOUBLE_EQ(why.below_peak, 0.1);
  EXPECT_DOUBLE_EQ(why.step_end, 0.05);
}

TEST(StepReasons, TheBestOfEachSizeIsItsFirst) {
  std::vector<Ranked> ranked(5);
  const std::int64_t nodes[] = {4, 2, 4, 8, 2};
  for (std::size_t i = 0; i < 5; ++i) ranked[i].layout.nodes = nodes[i];
  ranked[3].layout.cluster = 1;
  EXPECT_THAT(best_by_size(ranked), testing::ElementsAre(1, 0, 3));
}

}  // namespace
}  // namespace trillion::step_reasons_test
