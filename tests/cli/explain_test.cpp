// `trillion explain`: the page or the JSON on standard output; a plan that cannot run is exit 3 and says why.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/support/session.h"
#include "tests/cli/support/shipped.h"

namespace trillion::explain_test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Small enough that every neighbouring plan is simulated in little time under sanitizers too.
const std::string kIssue = kRoot + "/scenarios/qwen3-30b-a3b-h100-issue-2762";

TEST(Explain, SaysWhereTheTimeGoesAndWhatWouldHelp) {
  const Ended ended = trillion_with({"explain", kIssue});
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("WHAT WOULD SHORTEN THE STEP"));
  EXPECT_THAT(ended.out, HasSubstr("network between nodes twice as fast"));
  EXPECT_THAT(ended.err, HasSubstr("changes of the plan"));
}

TEST(Explain, AMeasurementInAnyUnitIsTheSameStep) {
  // 256 sequences of 4096 tokens on 32 GPUs: 32 768 tokens a GPU and step.
  std::string sections;
  for (const char* measured : {"20 s", "1638.4 tokens/s", "1638.4tokens/s"}) {
    const Ended ended = trillion_with({"explain", kIssue, "--quiet", "--measured", measured});
    ASSERT_EQ(ended.code, kExitDone) << ended.err;
    const std::size_t begin = ended.out.find("MEASURED");
    const std::string section = ended.out.substr(begin, ended.out.find("WHERE THE TIME GOES") - begin);
    EXPECT_THAT(section, HasSubstr("20.0 s a step"));
    EXPECT_EQ(section, sections.empty() ? section : sections);
    sections = section;
  }
  for (const char* wrong : {"fast", "0 s", "-3 s", "12", "x tokens/s"}) {
    EXPECT_EQ(trillion_with({"explain", kIssue, "--measured", wrong}).code, kExitBadInput) << wrong;
  }
}

TEST(Explain, JsonIsAlone) {
  const Ended ended = trillion_with({"explain", kIssue, "--json", "-", "--quiet"});
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
}  // namespace trillion::explain_test
