// The explanation for people: every part that matters is on the page, which stays within its columns.
#include "sim/report/explanation_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/support/linear_machine.h"

namespace trillion::explanation_page_test {
namespace {

using namespace testing_support;
using testing::AllOf;
using testing::HasSubstr;

struct Explained {
  Scenario scenario;
  Explanation explanation;
};

Explained explained() {
  Plan plan;
  plan.schedule = ScheduleKind::gpipe;
  plan.pipeline_parallel = 4;
  Explained e{linear_scenario(dense_model(8), plan, 1, 16), {}};
  const Timing timing(e.scenario.calibration, e.scenario.cluster);
  const TracedStep step = std::get<TracedStep>(trace_step(e.scenario, timing));
  e.explanation = {step.result,
                   time_parts(e.scenario, step.result),
                   critical_path_story(step),
                   try_changes(step.result, neighbours(e.scenario)),
                   try_changes(step.result, relieved(e.scenario)),
                   {},
                   {},
                   {},
                   {}};
  for (const Cause& cause : main_causes(e.scenario, step.result, e.explanation.changes))
    e.explanation.causes.push_back({cause, "--a-flag 1"});
  return e;
}

TEST(ExplanationPage, SaysPartsPathAndChanges) {
  const Explained e = explained();
  for (const int columns : {80, 120}) {
    TextStyle style;
    style.columns = columns;
    const std::string page = explanation_page(e.scenario, e.explanation, style);
    EXPECT_THAT(page, AllOf(HasSubstr("WHERE THE TIME GOES"), HasSubstr("pipeline bubble"), HasSubstr("CRITICAL PATH"), HasSubstr("0F0"),
                            HasSubstr("--set plan."), HasSubstr("changes tried")));
    std::istringstream lines(page);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), columns) << line;
  }
}

TEST(ExplanationPage, NamesCausesWithWhatToAskFor) {
  Explained e = explained();
  ASSERT_FALSE(e.explanation.causes.empty());
  e.explanation.all = e.explanation.changes.front();
  e.explanation.all_megatron = "--both";
  EXPECT_THAT(explanation_page(e.scenario, e.explanation, {}),
              AllOf(HasSubstr("MAIN CAUSES"), HasSubstr(e.explanation.causes.front().cause.part + ", "), HasSubstr("of the step; saves "),
                    HasSubstr("Megatron-LM: --a-flag 1"), HasSubstr("all these changes at once: saves"), HasSubstr("Megatron-LM: --both")));
  e.explanation.causes.clear();
  e.explanation.all.reset();
  EXPECT_THAT(explanation_page(e.scenario, e.explanation, {}), HasSubstr("no single change of the plan gains"));
}

TEST(ExplanationPage, WhatNoChangeTakesAwayIsACauseToo) {
  Explained e = explained();
  e.explanation.causes.clear();
  e.explanation.all.reset();
  e.explanation.parts = {{"model FLOPs", 0.4 * e.explanation.step.time},
                         {"small", 0.04 * e.explanation.step.time},
                         {"second", 0.2 * e.explanation.step.time},
                         {"first", 0.36 * e.explanation.step.time}};
  EXPECT_THAT(
      explanation_page(e.scenario, e.explanation, {}),
      AllOf(HasSubstr("1. first, 36.0 % of the step: no change"), HasSubstr("2. second, 20.0 % of the step"), Not(HasSubstr("3. small"))));
}

TEST(ExplanationPage, HoldsAMeasurementAgainstTheSimulation) {
  Explained e = explained();
  e.explanation.measured = e.explanation.step.time * 2.0;
  EXPECT_THAT(explanation_page(e.scenario, e.explanation, {}),
              AllOf(HasSubstr("MEASURED"), HasSubstr("50.0 % of your step"), HasSubstr("issued in time")));
  e.explanation.measured = e.explanation.step.time;
  EXPECT_THAT(explanation_page(e.scenario, e.explanation, {}), HasSubstr("within the simulation's 90 % interval"));
  e.explanation.measured = e.explanation.step.time * 0.5;
  EXPECT_THAT(explanation_page(e.scenario, e.explanation, {}), HasSubstr("faster than simulated"));
}

}  // namespace
}  // namespace trillion::explanation_page_test
