// `trillion time`: each line comes back as it was asked, followed by its answer; a wrong line means no output at all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/spec/load_calibration.h"
#include "tests/cli/support/session.h"

namespace trillion::time_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// One memory-bound curve: 1 us and 1 TB/s.
std::string profile() {
  Calibration calibration;
  calibration.gpu = "Example GPU";
  calibration.software = "no stack at all";
  calibration.chip.sms = 100;
  calibration.chip.peak_bf16 = FlopsPerSecond{1e15};
  calibration.chip.memory_bandwidth = BytesPerSecond{2e12};
  calibration.chip.nvlink = BytesPerSecond{4e11};
  calibration.chip.nic = BytesPerSecond{5e10};
  calibration.chip.provenance = {Origin::vendor, "datasheet"};
  MemoryCurve copy;
  copy.info.provenance = {Origin::measured, "a probe"};
  copy.info.residuals = {0.01, 0.05, 20};
  copy.launch = Seconds{1e-6};
  copy.rate = BytesPerSecond{1e12};
  copy.measured = {1e3, 1e9};
  calibration.memory_kernels.push_back(copy);
  return calibration_text(calibration);
}

const std::string kCopy = R"({"op":"memory_bound","kernel":"copy","read_bytes":1000000,"written_bytes":1000000})";

TEST(Time, AnswersEachLineInItsOrder) {
  const Folder folder;
  const std::string calibration = folder.write("gpu.yaml", profile());
  const Ended ended = trillion_with({"time", "-", "--calibration", calibration}, kCopy + "\n\n" + kCopy + "\n");
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  const std::string line = R"({"op":"memory_bound","kernel":"copy","read_bytes":1000000,"written_bytes":1000000,"time_s":3e-06,"low_s":)";
  EXPECT_EQ(ended.out.substr(0, line.size()), line);
  EXPECT_THAT(ended.out, AllOf(HasSubstr(R"("origin":"measured")"), HasSubstr(R"("sms":100)"), HasSubstr(R"("source":"a probe")")));
  EXPECT_EQ(std::count(ended.out.begin(), ended.out.end(), '\n'), 2);
}

TEST(Time, ItsOwnOutputIsItsInput) {
  const Folder folder;
  const std::string calibration = folder.write("gpu.yaml", profile());
  const Ended once = trillion_with({"time", "-", "--calibration", calibration}, kCopy);
  const Ended twice = trillion_with({"time", "-", "--calibration", calibration}, once.out);
  EXPECT_EQ(twice.out, once.out) << twice.err;
}

TEST(Time, OneWrongLineMeansNoOutput) {
  const Folder folder;
  const std::string calibration = folder.write("gpu.yaml", profile());
  const Ended ended = trillion_with({"time", "-", "--calibration", calibration}, kCopy + "\n{\"op\":\"memory_bond\"}\n");
  EXPECT_EQ(ended.code, kExitBadInput);
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, AllOf(HasSubstr("standard input:2:"), HasSubstr("memory_bound")));
}

TEST(Time, AShapeWithoutAnyCurveIsNamedWithItsLine) {
  const Folder folder;
  const std::string calibration = folder.write("gpu.yaml", profile());
  const Ended ended = trillion_with({"time", "-", "--calibration", calibration}, R"({"op":"gemm","dtype":"bf16","m":128,"n":128,"k":128})");
  EXPECT_EQ(ended.code, kExitBadInput);
  EXPECT_THAT(ended.err, HasSubstr("standard input:1:"));
}

TEST(Time, IsATableOnATerminal) {
  const Folder folder;
  const std::string calibration = folder.write("gpu.yaml", profile());
  const Ended ended = trillion_with({"time", "-", "--calibration", calibration}, kCopy, true);
  EXPECT_THAT(ended.out, AllOf(HasSubstr("90 % interval"), HasSubstr("3.00 us")));
  EXPECT_THAT(trillion_with({"time", "-", "--calibration", calibration, "--json", "-"}, kCopy, true).out, HasSubstr("\"time_s\""));
}

// On a cluster of one's own a collective is also its flows: alone, and beside all groups of its kind.
TEST(Time, ACollectiveOnAClusterIsAlsoFlows) {
  const std::string root = TRILLION_SOURCE_DIR;
  const std::string gather = R"({"op":"collective","kind":"all_gather","bytes":1073741824,"ranks":16,"ranks_per_node":1})";
  const std::string odd = R"({"op":"collective","kind":"all_gather","bytes":1073741824,"ranks":12,"ranks_per_node":8})";
  const Ended ended = trillion_with(
      {"time", "-", "--calibration", root + "/calibration/profiles/h100.yaml", "--cluster", root + "/topologies/h100-1024.yaml"},
      gather + "\n" + odd + "\n");
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("\"flows_s\":0.02"), HasSubstr("\"flows_beside_others_s\":0.02"), HasSubstr("\"groups\":64"),
                               HasSubstr("\"no_flows\":\"12 ranks are not whole nodes of 8\"")));
}

}  // namespace
}  // namespace trillion::time_test
