// Readers of nccl-tests: every layout gives the same points; nothing of an environment survives.
#include "calibration/fit/nccl_tests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "calibration/fit/raw_file.h"
#include "sim/base/error.h"

namespace trillion::nccl_tests_test {
namespace {

using testing::HasSubstr;

const std::string kGolden = std::string(TRILLION_SOURCE_DIR) + "/tests/golden/nccl-tests/";

const Collective& collective(const RawFile& file, std::size_t row) { return std::get<Collective>(file.rows.at(row).query.shape); }

std::string message_of(const std::string& text, const std::string& name) {
  try {
    parse_raw(text, name);
  } catch (const InputError& error) {
    std::string all;
    for (const auto& diagnostic : error.diagnostics()) all += to_text(diagnostic) + "\n";
    return all;
  }
  return "accepted";
}

TEST(NcclTests, ReadsARealRunOfToday) {
  const RawFile file = read_raw_file(kGolden + "all_reduce-2.19.txt");
  ASSERT_EQ(file.rows.size(), 3u);
  EXPECT_EQ(file.gpu, "NVIDIA H200");
  EXPECT_EQ(collective(file, 0), (Collective{CollectiveKind::all_reduce, Bytes{1024}, 2, 2, Bytes{}}));
  EXPECT_EQ(collective(file, 2).bytes.value(), 1073741824);
  EXPECT_DOUBLE_EQ(file.rows[2].time.value(), 3279.56e-6);
}

TEST(NcclTests, ReadsTheOldLayoutUnderMpirunWithTheNameFromTheFile) {
  RawFile file;
  EXPECT_THAT(message_of("# nThread 1\n# algbw busbw\n 1024 256 float 1.0 1.0 1.0 0 1.0 1.0 1.0 0\n", "results.txt"),
              HasSubstr("which collective"));
  std::string text;
  {
    std::ifstream in(kGolden + "old-layout-mpirun.txt");
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  file = parse_raw(text, "logs/all_gather_perf.txt");
  ASSERT_EQ(file.rows.size(), 2u);
  EXPECT_EQ(collective(file, 0), (Collective{CollectiveKind::all_gather, Bytes{1048576}, 4, 2, Bytes{}}));
  EXPECT_DOUBLE_EQ(file.rows[0].time.value(), 81.5e-6);
  EXPECT_EQ(file.gpu, "A100-SXM4-40GB");
}

TEST(NcclTests, TakesInPlaceWhereOutOfPlaceIsNotMeasured) {
  const RawFile file = read_raw_file(kGolden + "srun-iteration-columns.txt");
  ASSERT_EQ(file.rows.size(), 1u);
  EXPECT_EQ(collective(file, 0).kind, CollectiveKind::reduce_scatter);
  EXPECT_EQ(collective(file, 0).ranks, 2);
  EXPECT_DOUBLE_EQ(file.rows[0].time.value(), 14.5e-6);
}

TEST(NcclTests, ReadsJsonAndCountsTheDevicesOfEachProcess) {
  const RawFile file = read_raw_file(kGolden + "version-3.json");
  ASSERT_EQ(file.rows.size(), 2u);
  EXPECT_EQ(collective(file, 0), (Collective{CollectiveKind::all_gather, Bytes{1048576}, 8, 4, Bytes{}}));
  EXPECT_DOUBLE_EQ(file.rows[0].time.value(), 61.2e-6);
  EXPECT_DOUBLE_EQ(file.rows[1].time.value(), 99.5e-6);  // "nan" is a string there
  EXPECT_EQ(file.software, "NCCL 23004");
}

TEST(NcclTests, AJsonThatWasCutOffGivesItsWholeResultsAndNeverItsEnvironment) {
  std::ifstream in(kGolden + "version-3.json");
  const std::string text(std::istreambuf_iterator<char>(in), {});
  const std::size_t first_end = text.find("\"experiment_name\":\"all_gather\"}") + 31;
  for (std::size_t cut = first_end; cut < text.size(); cut += 7) {
    const RawFile file = parse_raw(text.substr(0, cut), "cut.json");
    ASSERT_GE(file.rows.size(), 1u) << cut;
    EXPECT_DOUBLE_EQ(file.rows[0].time.value(), 61.2e-6);
    for (const auto& note : file.notes) EXPECT_EQ(note.find("SECRET"), std::string::npos);
    EXPECT_EQ(file.provenance.source.find("SECRET"), std::string::npos);
  }
}

}  // namespace
}  // namespace trillion::nccl_tests_test
