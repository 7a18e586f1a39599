// `trillion validate`: exit 3 iff some figure is outside its tolerance.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/cli/support/session.h"
#include "tests/cli/support/shipped.h"

namespace trillion::validate_test {
namespace {

using testing::HasSubstr;

// DeepSeek-V3's scenario, small, beside published figures of the test's own.
std::string scenario_with(const Folder& folder, const std::string& published) {
  std::filesystem::create_directories(folder / "case");
  std::string text = file_text(kDeepSeek + "/scenario.yaml");
  for (std::size_t at = text.find("../../"); at != std::string::npos; at = text.find("../../")) text.replace(at, 6, kRoot + "/");
  folder.write("case/scenario.yaml", text);
  folder.write("case/expected.yaml", "figures:\n  - {quantity: step.tokens, published: " + published +
                                         ", tolerance: 0.01, origin: paper, source: \"the test\"}\n");
  return folder / "case";
}

TEST(Validate, IsDoneWithinTheTolerance) {
  const Folder folder;
  const Ended ended = trillion_with(with_small({"validate", scenario_with(folder, "8388608"), "--json", "-"}));  // 2048 x 4096
  EXPECT_EQ(ended.code, kExitDone) << ended.err << ended.out;
  EXPECT_THAT(ended.out,
              testing::AllOf(HasSubstr("trillion.validation/1"), HasSubstr("\"relative_error\": 0.0"), HasSubstr("\"ok\": true")));
}

TEST(Validate, IsExitThreeOutsideIt) {
  const Folder folder;
  const Ended ended = trillion_with(with_small({"validate", scenario_with(folder, "8200000")}));
  EXPECT_EQ(ended.code, kExitCannotRun) << ended.err;
  EXPECT_THAT(ended.out, testing::AllOf(HasSubstr("OUTSIDE"), HasSubstr("+2.3 %")));
}

TEST(Validate, CasesSetWhatDiffersAndKnownGapsDoNotFail) {
  const Folder folder;
  const std::string path = scenario_with(folder, "1");
  folder.write("case/expected.yaml",
               "defaults: {quantity: step.tokens, tolerance: 0.01, origin: paper, source: the test}\n"
               "cases:\n"
               "  - {name: half, set: [training.sequence_length=2048], published: 4194304}\n"
               "  - {name: odd, published: 1000, known_gap: the test is wrong}\n");
  const Ended ended = trillion_with(with_small({"validate", path}));
  EXPECT_EQ(ended.code, kExitDone) << ended.err << ended.out;
  EXPECT_THAT(ended.out,
              testing::AllOf(HasSubstr("case: half"), HasSubstr("known gap"), HasSubstr("  the test is wrong\n    case: odd\n")));
}

TEST(Validate, ACaseWithoutPublishedFiguresIsRefused) {
  const Folder folder;
  const std::string path = scenario_with(folder, "1");
  std::filesystem::remove(path + "/expected.yaml");
  EXPECT_EQ(trillion_with({"validate", path}).code, kExitBadInput);
}

}  // namespace
}  // namespace trillion::validate_test
