// `trillion calibrate`: measurements in, a profile that can be read back out, the errors of the fit as a table.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "sim/spec/load_calibration.h"
#include "tests/cli/support/session.h"

namespace trillion::calibrate_test {
namespace {

using testing::HasSubstr;

// Twelve copies at 1 us and 2 TB/s.
std::string raw_rows() {
  std::string text =
      R"({"schema":"trillion.raw/1","gpu":"NVIDIA H100 80GB HBM3","software":"a test","origin":"measured","source":"made up","sms":132})"
      "\n";
  for (int i = 0; i < 12; ++i) {
    const double bytes = 1048576.0 * (1 << i);
    text += R"({"op":"memory_bound","kernel":"copy","read_bytes":)" + std::to_string(static_cast<long>(bytes / 2)) +
            R"(,"written_bytes":)" + std::to_string(static_cast<long>(bytes / 2)) + R"(,"time_s":)" + std::to_string(1e-6 + bytes / 2e12) +
            "}\n";
  }
  return text;
}

TEST(Calibrate, WritesAProfileThatIsReadBack) {
  const Folder folder;
  const std::string raw = folder.write("copy.jsonl", raw_rows());
  const Ended ended = trillion_with({"calibrate", raw, "--output", folder / "profile.yaml"});
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, testing::AllOf(HasSubstr("median"), HasSubstr("copy")));
  EXPECT_EQ(load_calibration(folder / "profile.yaml").gpu, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(trillion_with({"calibrate", raw, "--output", "-"}).out, file_text(folder / "profile.yaml"));
}

TEST(Calibrate, BadMeasurementsWriteNothing) {
  const Folder folder;
  const Ended ended = trillion_with({"calibrate", folder.write("x.jsonl", "{\"op\":\"gem\"}\n"), "--output", folder / "profile.yaml"});
  EXPECT_EQ(ended.code, kExitBadInput);
  EXPECT_FALSE(std::filesystem::exists(folder / "profile.yaml"));
}

}  // namespace
}  // namespace trillion::calibrate_test
