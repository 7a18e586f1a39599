// The page: the answer comes first, every convention stands where its figure is, nothing is wider than the page, and it is a
// function of scenario and estimate alone.
#include "sim/report/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/support/example_estimate.h"

namespace trillion::page_test {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string page(const TextStyle& style = {}) { return report_page(example::scenario(), example::estimate(), style); }

TEST(Page, AnswersFirst) {
  const std::string text = page();
  EXPECT_LT(text.find("ANSWER"), text.find("STEP"));
  EXPECT_THAT(text, HasSubstr("181K GPU-hours · $362K"));
  EXPECT_THAT(text, HasSubstr("90 % interval 175K to 187K GPU-hours"));
  EXPECT_THAT(text, HasSubstr("14.8T tokens · 2.70M GPU-hours · 54.9 days · $5.40M"));
  EXPECT_THAT(text, HasSubstr("182K GPU-hours per trillion tokens, 2 batch sizes from 3 072 to 15 360"));
}

TEST(Page, NamesConventionsWhereItPrintsAFigure) {
  const std::string text = page();
  EXPECT_THAT(text, HasSubstr("MFU, causal attention 40.0 % = 400 TFLOP/s per GPU of 1000 TFLOP/s, dense BF16 of one H800 SXM"));
  EXPECT_THAT(text, HasSubstr("MFU, full attention   45.0 %"));
  EXPECT_THAT(text, HasSubstr("at $2.00 per GPU-hour (assumed: rental price of the report)"));
  EXPECT_THAT(text, HasSubstr("GiB per pipeline rank, 80.0 usable: fits, 17.0 GiB free on the fullest rank"));
  EXPECT_THAT(text, HasSubstr("assumed: vocabulary is not published; 128K is taken"));
}

TEST(Page, IsNeverWiderThanAsked) {
  for (const int columns : {60, 72, 80, 100}) {
    for (const bool unicode : {true, false}) {
      std::istringstream lines(page({columns, false, unicode}));
      for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), columns) << line;
    }
  }
}

TEST(Page, IsPlainAsciiWhereTheTerminalIs) {
  for (const char c : page({100, false, false})) EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~')) << static_cast<int>(c);
}

TEST(Page, ColourAddsNothingButEscapes) {
  std::string coloured = page({100, true, true});
  for (std::size_t at = coloured.find('\x1b'); at != std::string::npos; at = coloured.find('\x1b')) {
    coloured.erase(at, coloured.find('m', at) - at + 1);
  }
  EXPECT_EQ(coloured, page({100, false, true}));
}

TEST(Page, SaysWhenTheHostSetsThePace) {
  EXPECT_THAT(page(), Not(HasSubstr("to issue the kernels")));
  Estimate estimate = example::estimate();
  estimate.step.host_issue = 0.5 * estimate.step.time;
  const std::string half = report_page(example::scenario(), estimate, {});
  EXPECT_THAT(half, HasSubstr("to issue the kernels, 50.0 % of the step"));
  EXPECT_THAT(half, Not(HasSubstr("host-bound")));
  estimate.step.host_issue = 0.97 * estimate.step.time;
  EXPECT_THAT(report_page(example::scenario(), estimate, {}), HasSubstr("host-bound"));
}

TEST(Page, SaysThatRoutingWasForced) {
  Estimate estimate = example::estimate();
  EXPECT_THAT(page(), Not(HasSubstr("FORCED")));
  estimate.step.routing.balance = Balance::forced;
  EXPECT_THAT(report_page(example::scenario(), estimate, {}), HasSubstr("FORCED to be balanced"));
}

TEST(Page, LeavesOutWhatDoesNotExist) {
  Scenario scenario = example::scenario();
  scenario.model.moe.reset();
  scenario.cluster.price.reset();
  Estimate estimate = example::estimate();
  estimate.answer.usd_per_trillion_tokens.reset();
  estimate.run.reset();
  const std::string text = report_page(scenario, estimate, {});
  for (const char* absent : {"ROUTING", "$", "whole run", "nan", "inf"}) EXPECT_THAT(text, Not(HasSubstr(absent)));
}

TEST(Page, InfeasibleSaysWhyAndWhatWouldHelp) {
  const std::string text = infeasible_page(
      example::scenario(), {"stage 7 needs 83.1 GiB, 5.4 GiB more than usable", {"plan.recompute: full would save 12.3 GiB"}}, {});
  EXPECT_THAT(text, HasSubstr("CANNOT RUN\n  stage 7 needs 83.1 GiB, 5.4 GiB more than usable\n"));
  EXPECT_THAT(text, HasSubstr("- plan.recompute: full would save 12.3 GiB"));
}

}  // namespace
}  // namespace trillion::page_test
