// `trillion explain`: the page or the JSON on standard output; a plan that cannot run is exit 3 and says why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/support/session.h"
#include "tests/cli/support/shipped.h"

namespace trillion {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Explain, SaysWhereTheTimeGoesAndWhatWouldHelp) {
  const Ended ended = trillion_with(with_small({"explain", kDeepSeek}));
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("WHAT WOULD SHORTEN THE STEP"));
  EXPECT_THAT(ended.out, HasSubstr("network between nodes twice as fast"));
  EXPECT_THAT(ended.err, HasSubstr("changes of the plan"));
}

TEST(Explain, JsonIsAlone) {
  const Ended ended = trillion_with(with_small({"explain", kDeepSeek, "--json", "-", "--quiet"}));
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, StartsWith("{"));
  EXPECT_EQ(ended.err, "");
}

TEST(Explain, APlanThatCannotRunSaysWhy) {
  const Ended ended = trillion_with(with_small({"explain", kDeepSeek, "--set", "plan.micro_batch_size=16"}));
  EXPECT_EQ(ended.code, kExitCannotRun);
  EXPECT_FALSE(ended.out.empty());
}

}  // namespace
}  // namespace trillion
