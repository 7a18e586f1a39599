// `trillion plan`: page or JSON; a space without a layout that fits is exit 3; a misspelt axis is exit 2.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/support/session.h"
#include "tests/cli/support/shipped.h"

namespace trillion::plan_test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A space of a handful.
const std::vector<std::string> kSmallSpace = {"--set",
                                              "search={tensor_parallel: 1, pipeline_parallel: 16, expert_parallel: [32, 64], "
                                              "micro_batch_size: 1, schedule: [dualpipe, 1f1b], recompute: [full]}"};

std::vector<std::string> with_space(std::vector<std::string> words, const Folder& folder) {
  words.insert(words.end(), {"--output", folder.text()});
  words.insert(words.end(), kSmallSpace.begin(), kSmallSpace.end());
  return with_small(words);
}

TEST(Plan, RanksLayouts) {
  const Folder folder;
  const Ended ended = trillion_with(with_space({"plan", kDeepSeek, "--top", "2"}, folder));
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("RANKED"));
  EXPECT_THAT(ended.out, HasSubstr("BY VALUE"));
  EXPECT_THAT(ended.out, HasSubstr("WHAT WOULD CHANGE THE CHOICE"));
  EXPECT_THAT(ended.err, HasSubstr("searched in"));
  EXPECT_EQ(file_text(folder / "plan.txt"), ended.out);
  EXPECT_THAT(file_text(folder / "plan.json"), HasSubstr("trillion.plan/1"));
}

TEST(Plan, AFolderThatWasAskedForMustBeWritten) {
  const Folder folder;
  const std::string file = folder.write("file", "");
  std::vector<std::string> words = with_small({"plan", kDeepSeek, "--output", file + "/below"});
  words.insert(words.end(), kSmallSpace.begin(), kSmallSpace.end());
  const Ended ended = trillion_with(words);
  EXPECT_EQ(ended.code, kExitBadInput);
  EXPECT_EQ(ended.out, "");
}

TEST(Plan, JsonIsAlone) {
  const Folder folder;
  const Ended ended = trillion_with(with_space({"plan", kDeepSeek, "--json", "-", "--quiet"}, folder));
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, StartsWith("{"));
  EXPECT_EQ(ended.err, "");
}

TEST(Plan, NothingThatFitsIsExitThree) {
  const Folder folder;
  std::vector<std::string> words = with_space({"plan", kDeepSeek}, folder);
  words.insert(words.end(), {"--set", "search.micro_batch_size=32"});
  const Ended ended = trillion_with(words);
  EXPECT_EQ(ended.code, kExitCannotRun) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("no layout can run"));
}

TEST(Plan, MisspeltAxesNameTheNearest) {
  const Ended ended = trillion_with(with_small({"plan", kDeepSeek, "--set", "search.tensor_paralel=[1,2]"}));
  EXPECT_EQ(ended.code, kExitBadInput);
  EXPECT_THAT(ended.err, HasSubstr("tensor_parallel"));
}

}  // namespace
}  // namespace trillion::plan_test
