// Side by side: only what differs, differences against the first, and no row that merely says how long the simulation took.
#include "sim/report/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/error.h"
#include "sim/estimate/result_json.h"
#include "tests/support/example_estimate.h"

namespace trillion::comparison_test {
namespace {

using testing::HasSubstr;
using testing::Not;

NamedReport report(const std::string& name, double step_s) {
  Estimate estimate = example::estimate();
  estimate.step.time = Seconds{step_s};
  for (StageMemory& stage : estimate.step.memory) stage.activations = step_s * kGiB;
  return {name, report_figures(report_json(example::scenario(), estimate, {Seconds{step_s}, Bytes{1}}), name)};
}

TEST(ComparisonPage, ShowsWhatDiffersAgainstTheFirst) {
  const std::string text = comparison_page({report("base", 20), report("slow", 25)}, ComparedRows::differing, {});
  EXPECT_THAT(text, HasSubstr("step.time_s"));
  EXPECT_THAT(text, HasSubstr("25.0 s (+25.0 %)"));
  EXPECT_THAT(text, HasSubstr("memory.peak_bytes"));
  for (const char* absent : {"plan.schedule", "simulation", "memory.stages", "seed"}) EXPECT_THAT(text, Not(HasSubstr(absent)));
}

TEST(ComparisonPage, ShowsAllWhenAsked) {
  const std::string text = comparison_page({report("base", 20), report("slow", 25)}, ComparedRows::all, {});
  for (const char* present : {"plan.schedule", "memory.stages.0.peak_bytes", "seed"}) EXPECT_THAT(text, HasSubstr(present));
  EXPECT_THAT(text, Not(HasSubstr("simulation.wall_s")));
}

TEST(ComparisonPage, EqualReportsDoNotDiffer) {
  EXPECT_EQ(comparison_page({report("a", 20), report("b", 20)}, ComparedRows::differing, {}), "no difference\n");
  EXPECT_THAT(comparison_page({report("a", 20)}, ComparedRows::all, {}), HasSubstr("plan.schedule"));
}

TEST(ComparisonPage, EachBlockBeginsWithTheBase) {
  const std::string text =
      comparison_page({report("base", 20), report("second", 21), report("third", 22), report("fourth", 23)}, ComparedRows::differing, {});
  const std::size_t blank = text.find("\n\n");
  ASSERT_NE(blank, std::string::npos);
  EXPECT_THAT(text.substr(0, blank), testing::AllOf(HasSubstr("base"), HasSubstr("third"), Not(HasSubstr("fourth"))));
  const std::string second = text.substr(blank, text.find("WHERE") - blank);
  EXPECT_THAT(second, testing::AllOf(HasSubstr("base"), HasSubstr("fourth"), Not(HasSubstr("third"))));
}

TEST(ComparisonPage, AnInfeasibleReportIsStillARow) {
  const std::string json = infeasible_json(example::scenario(), {"too little memory", {}});
  const std::string text = comparison_page({report("base", 20), {"small", report_figures(json, "small")}}, ComparedRows::differing, {});
  EXPECT_THAT(text, HasSubstr("infeasible.reason"));
  EXPECT_THAT(text, HasSubstr("too little memory"));
}

TEST(ComparisonPage, TellsWhereTheDifferenceComesFrom) {
  NamedReport base = report("base", 20), slow = report("slow", 25);
  const std::string text = comparison_page({base, slow}, ComparedRows::differing, {});
  EXPECT_THAT(text, HasSubstr("WHERE THE DIFFERENCE COMES FROM"));
  EXPECT_THAT(text, HasSubstr("slowest rank beyond the mean")) << "5 s that no cause explains";
  EXPECT_THAT(text, HasSubstr("226K (+45.2K)")) << "2048 GPUs x 25 s / 62.9M tokens, and x 5 s";
  EXPECT_THAT(text, Not(HasSubstr("attention "))) << "4 s in both";
}

TEST(ComparisonPage, NothingToCompareIsOurBug) { EXPECT_THROW(comparison_page({}, ComparedRows::all, {}), InternalError); }

}  // namespace
}  // namespace trillion::comparison_test
