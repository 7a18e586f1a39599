// Why a step takes as long as it does. The algebra:
//   parts  add up to the step
//   path   its legs follow each other and cover the step; what runs on it adds up to the step
//   one rank, nothing to wait for: the path stays there, and all of it is computing
#include "sim/estimate/explanation.h"

#include <gtest/gtest.h>

#include "sim/estimate/estimate.h"
#include "tests/support/linear_machine.h"

namespace trillion::explanation_test {
namespace {

using namespace testing_support;

TracedStep traced(const Scenario& s) {
  const Timing timing(s.calibration, s.cluster);
  return std::get<TracedStep>(trace_step(s, timing));
}

Scenario setting(ScheduleKind schedule, std::int64_t stages) {
  Plan plan;
  plan.schedule = schedule;
  plan.pipeline_parallel = stages;
  plan.expert_parallel = 16;
  return linear_scenario(moe_model(8), plan, 8, 16 * 32);
}

TEST(Explanation, PartsAddUpToTheStep) {
  for (const ScheduleKind schedule : {ScheduleKind::one_f_one_b, ScheduleKind::dualpipe, ScheduleKind::zb_v}) {
    const Scenario s = setting(schedule, 4);
    const StepResult r = std::get<StepResult>(simulate_step(s));
    Seconds sum;
    for (const TimePart& part : time_parts(s, r)) sum += part.time;
    EXPECT_NEAR(sum / r.time, 1, 1e-9);
    EXPECT_GT(time_parts(s, r).front().time.value(), 0);
  }
}

TEST(Explanation, LegsCoverTheStep) {
  for (const ScheduleKind schedule : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::dualpipe}) {
    const TracedStep step = traced(setting(schedule, 4));
    const PathStory story = critical_path_story(step);
    ASSERT_FALSE(story.legs.empty());
    SimTime reached;
    for (const PathLeg& leg : story.legs) {
      EXPECT_EQ(leg.start, reached);
      EXPECT_GT(leg.end, leg.start);
      EXPECT_LE(leg.compute + leg.longest_wait_time, (leg.end - leg.start).seconds() * (1 + 1e-9));
      reached = leg.end;
    }
    EXPECT_EQ(reached, step.trace.makespan);
    EXPECT_EQ(story.legs.back().last_action, "optimizer");
    Seconds kernels;
    for (const TimePart& part : story.by_kernel) kernels += part.time;
    EXPECT_NEAR(kernels / step.result.time, 1, 1e-9);
  }
}

TEST(Explanation, WithoutAPipelineThePathStaysOnItsRank) {
  const PathStory story = critical_path_story(traced(linear_scenario(dense_model(4), {}, 1, 8)));
  ASSERT_EQ(story.legs.size(), 1u);
  EXPECT_EQ(story.legs[0].visits, 1);
  EXPECT_EQ(story.legs[0].first_action, "0F0");
}

}  // namespace
}  // namespace trillion::explanation_test
