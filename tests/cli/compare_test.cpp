// `trillion compare`: scenarios and reports mix; the first is the base.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/support/session.h"
#include "tests/cli/support/shipped.h"

namespace trillion {
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
}  // namespace trillion
