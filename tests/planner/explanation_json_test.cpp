// The explanation for programs: whole, its parts add up to the step.
#include "sim/planner/explanation_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/linear_machine.h"

namespace trillion::explanation_json_test {
namespace {

using namespace testing_support;

TEST(ExplanationJson, IsWhole) {
  Plan plan;
  plan.schedule = ScheduleKind::gpipe;
  plan.pipeline_parallel = 4;
  const Scenario scenario = linear_scenario(dense_model(8), plan, 1, 16);
  const Timing timing(scenario.calibration, scenario.cluster);
  const TracedStep step = std::get<TracedStep>(trace_step(scenario, timing));
  Explanation explanation{step.result,
                          time_parts(scenario, step.result),
                          critical_path_story(step),
                          try_changes(step.result, neighbours(scenario)),
                          try_changes(step.result, relieved(scenario)),
                          {},
                          {},
                          {},
                          step.result.time * 2.0};
  for (const Cause& cause : main_causes(scenario, step.result, explanation.changes)) explanation.causes.push_back({cause, "--flags"});
  explanation.all = together(scenario, step.result, explanation.changes, main_causes(scenario, step.result, explanation.changes));
  const auto json = nlohmann::json::parse(explanation_json(scenario, explanation));
  EXPECT_EQ(json.at("schema"), "trillion.explanation/1");
  EXPECT_EQ(json.at("changes").size(), explanation.changes.size());
  EXPECT_EQ(json.at("critical_path").at("legs").size(), explanation.path.legs.size());
  ASSERT_EQ(json.at("causes").size(), explanation.causes.size());
  EXPECT_EQ(json.at("causes").at(0).at("change"), explanation.changes[explanation.causes[0].cause.change].what);
  EXPECT_EQ(json.at("causes").at(0).at("megatron"), "--flags");
  EXPECT_EQ(json.at("all_causes").at("gain"), explanation.all->gain);
  EXPECT_NEAR(json.at("measured").at("unexplained_s").get<double>(), step.result.time.value(), 1e-9);
  double sum = 0;
  for (const auto& part : json.at("parts")) sum += part.at("time_s").get<double>();
  EXPECT_NEAR(sum, json.at("step_s").get<double>(), 1e-9);
}

}  // namespace
}  // namespace trillion::explanation_json_test
