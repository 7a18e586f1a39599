// `trillion compare`: scenarios and reports mix; the first is the base.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/estimate/report_figures.h"
#include "tests/cli/support/session.h"
#include "tests/cli/support/shipped.h"

namespace trillion::compare_test {
namespace {

using testing::HasSubstr;

TEST(Compare, AReportAgainstItsOwnScenarioDoesNotDiffer) {
  const Folder folder;
  ASSERT_EQ(trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "out"})).code, kExitDone);
  const Ended ended = trillion_with(with_small({"compare", folder / "out/report.json", kDeepSeek}));
  EXPECT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_EQ(ended.out, "no difference\n");
}

TEST(Compare, ShowsWhatAnotherPlanChanges) {
  const Folder folder;
  ASSERT_EQ(trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "a"})).code, kExitDone);
  ASSERT_EQ(trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "b", "--set", "training.routing.balance=forced"})).code,
            kExitDone);
  const Ended ended = trillion_with({"compare", folder / "a/report.json", folder / "b/report.json"});
  EXPECT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, testing::AllOf(HasSubstr("routing.balance"), HasSubstr("forced"), HasSubstr("a/report.json")));
}

double figure_of(const std::string& scenario, const std::string& variant, const std::string& path) {
  const std::string file = kRoot + "/scenarios/" + scenario + "/" + variant + ".yaml";
  const Ended ended = trillion_with({"simulate", file, "--json", "-", "--quiet"});
  EXPECT_EQ(ended.code, kExitDone) << ended.err;
  const std::vector<ReportFigure> figures = report_figures(ended.out, file);
  return figure(figures, path)->number;
}

// scenarios/expert-balancing: what its README says of the order, of each strategy by itself.
TEST(Compare, BalancingStrategiesValidation) {
  const auto hours = [](const char* variant) { return figure_of("expert-balancing", variant, "answer.gpu_hours_per_trillion_tokens"); };
  const double forced = hours("forced"), loss_free = hours("loss-free"), batch = hours("auxiliary-batch"),
               sequence = hours("auxiliary-sequence"), unbalanced = hours("unbalanced");
  EXPECT_NEAR(loss_free / batch, 1, 0.01) << "alike per batch";
  for (const double balanced : {loss_free, batch, sequence}) {
    EXPECT_GT(balanced, 1.02 * forced);
    EXPECT_LT(balanced, 0.95 * unbalanced);
  }
  EXPECT_LT(hours("unbalanced-redundant"), 0.95 * unbalanced) << "copies of the busiest experts make up for it";
  EXPECT_LT(hours("loss-free-capacity-1.5"), loss_free);
  const auto sequence_load = [](const char* variant) {
    return figure_of("expert-balancing", variant, "routing.layers.0.domains.0.max_over_mean");
  };
  EXPECT_GT(sequence_load("loss-free"), 1.5 * sequence_load("auxiliary-sequence")) << "looser per sequence";
  EXPECT_GT(sequence_load("auxiliary-batch"), 1.5 * sequence_load("auxiliary-sequence"));
}

// scenarios/node-limited-routing: more nodes a token are more bytes and more GPU-hours, up to what 8 experts reach without a limit.
TEST(Compare, NodeLimitsValidation) {
  double bytes = 0, hours = 0;
  for (const char* variant : {"nodes-1", "nodes-2", "nodes-4", "nodes-8"}) {
    const double more_bytes = figure_of("node-limited-routing", variant, "routing.bytes_per_token_scale_out"),
                 more_hours = figure_of("node-limited-routing", variant, "answer.gpu_hours_per_trillion_tokens");
    EXPECT_GT(more_bytes, 1.2 * bytes) << variant;
    EXPECT_GT(more_hours, hours) << variant;
    bytes = more_bytes;
    hours = more_hours;
  }
}

TEST(Compare, AsJson) {
  const Folder folder;
  ASSERT_EQ(trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "a"})).code, kExitDone);
  const Ended ended = trillion_with({"compare", folder / "a/report.json", folder / "a/report.json", "--json", "-"});
  EXPECT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, testing::AllOf(testing::StartsWith("{"), HasSubstr("trillion.comparison/1"), HasSubstr("\"difference\": 0")));
}

TEST(Compare, WhatIsNoReportIsRefused) {
  const Folder folder;
  const Ended ended = trillion_with({"compare", folder.write("x.json", "{}")});
  EXPECT_EQ(ended.code, kExitBadInput);
  EXPECT_THAT(ended.err, HasSubstr("x.json: error: not a report"));
}

}  // namespace
}  // namespace trillion::compare_test
