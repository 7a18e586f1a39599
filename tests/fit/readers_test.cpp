// Readers of raw files. What must hold: every layout of nccl-tests gives the same points; nothing of an environment survives;
// mistakes are located; what is not used is named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "calibration/fit/facts.h"
#include "calibration/fit/raw_file.h"
#include "sim/base/error.h"

namespace trillion {
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

TEST(NcclTests, ReadsJsonAndCountsTheGpusOfEachProcess) {
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

TEST(RawRows, ReadHeaderShapesAndWhatIsSetAside) {
  const RawFile file = parse_raw(
      "{\"schema\":\"trillion.raw/1\",\"gpu\":\"H100\",\"software\":\"cuBLAS\",\"origin\":\"measured\",\"source\":\"a "
      "bench\",\"sms\":132}\n"
      "{\"op\":\"gemm\",\"dtype\":\"bf16\",\"m\":128,\"n\":256,\"k\":512,\"load\":\"sustained\",\"time_s\":1e-5,\"clock_mhz\":1700}\n"
      "{\"op\":\"gemm\",\"dtype\":\"fp8\",\"m\":128,\"n\":256,\"k\":512,\"unsupported\":\"no algorithm\"}\n"
      "{\"op\":\"memory_bound\",\"kernel\":\"memcpy\",\"read_bytes\":1,\"written_bytes\":1,\"time_s\":1e-5}\n"
      "{\"op\":\"launch\",\"kind\":\"gap\",\"time_s\":1e-6}\n"
      "{\"op\":\"gemm\",\"dtype\":\"bf16\",\"m\":128,\"n\":256,\"k\":1024,\"time_s\":2e-5,\"origin\":\"paper\",\"source\":\"a paper\"}\n"
      "{\"op\":\"gemm\",\"dty",
      "raw.jsonl");
  ASSERT_EQ(file.rows.size(), 2u);
  EXPECT_EQ(file.rows[0].query.load, Load::sustained);
  EXPECT_EQ(file.rows[0].provenance.source, "a bench");
  EXPECT_EQ(file.rows[1].provenance.origin, Origin::paper);
  EXPECT_EQ(file.others.size(), 1u);
  EXPECT_THAT(file.notes, testing::UnorderedElementsAre(HasSubstr("declined"), HasSubstr("memcpy"), HasSubstr("torn")));
}

TEST(RawRows, MistakesAreLocated) {
  const std::string header = "{\"schema\":\"trillion.raw/1\",\"gpu\":\"H100\",\"source\":\"x\"}\n";
  EXPECT_THAT(message_of("{\"schema\":\"trillion.raw/2\"}\n", "a.jsonl"), HasSubstr("a.jsonl:1"));
  EXPECT_THAT(message_of(header + "{\"op\":\"gemm\",\"dtype\":\"bf16\",\"m\":128,\"n\":256,\"k\":512}\n", "a.jsonl"), HasSubstr("time_s"));
  EXPECT_THAT(message_of(header + "{\"op\":\"gemm\",\"dtype\":\"bf61\",\"m\":128,\"n\":256,\"k\":512,\"time_s\":1}\n", "a.jsonl"),
              testing::AllOf(HasSubstr("a.jsonl:2"), HasSubstr("bf16")));
  EXPECT_THAT(message_of(header + "{\"op\":\"gemm\",\"dtype\":\"bf16\",\"m\":128,\"n\":256,\"k\":512,\"time_s\":-1}\n", "a.jsonl"),
              HasSubstr("positive"));
  EXPECT_THAT(message_of("", "empty.jsonl"), HasSubstr("empty"));
  EXPECT_THAT(message_of("hello\n", "a.txt"), HasSubstr("neither"));
}

TEST(GemmCsv, ReadsColumnsByNameAndLayoutsByLetters) {
  const RawFile file = parse_raw(
      "# gpu: NVIDIA H100\n# load: sustained\nlayout,m,n,k,dtype_a,dtype_out,time_us,sm_clock_mhz\n"
      "TN,4096,7168,2048,bf16,bf16,171.2,1755\nNT,7168,2048,4096,fp8_e4m3,fp32,99,1700\n",
      "gemm.csv");
  ASSERT_EQ(file.rows.size(), 2u);
  EXPECT_EQ(file.gpu, "NVIDIA H100");
  EXPECT_EQ(file.rows[0].query.load, Load::sustained);
  EXPECT_EQ(std::get<Gemm>(file.rows[0].query.shape), (Gemm{DType::bf16, 4096, 7168, 2048, GemmLayout::forward, false}));
  EXPECT_EQ(std::get<Gemm>(file.rows[1].query.shape), (Gemm{DType::fp8, 7168, 2048, 4096, GemmLayout::weight_gradient, true}));
  EXPECT_DOUBLE_EQ(file.rows[0].time.value(), 171.2e-6);
}

TEST(GemmCsv, MistakesAreLocated) {
  const std::string header = "m,n,k,dtype_a,dtype_out,layout,time_us\n";
  EXPECT_THAT(message_of("m,n,k,dtype_a,dtype_out,layuot,time_us\n", "g.csv"), testing::AllOf(HasSubstr("layuot"), HasSubstr("layout")));
  EXPECT_THAT(message_of(header + "1,2,3,bf16,bf16,TN\n", "g.csv"), HasSubstr("g.csv:2"));
  EXPECT_THAT(message_of(header + "1,2,3,int4,bf16,TN,5\n1,0,3,bf16,bf16,TN,5\n", "g.csv"),
              testing::AllOf(HasSubstr("g.csv:2:7"), HasSubstr("int4"), HasSubstr("g.csv:3:3")));
}

TEST(Facts, ReadFiguresWithProvenanceAndRejectWhatIsUnknown) {
  const Facts facts = read_facts(YamlDocument::from_text(
      "gpu: H800\nborrow: [{folder: ../h100, ops: [gemm]}]\nlinks: {nvlink: 158 GB/s, nic: 46 GB/s, origin: paper, source: a report}\n"
      "stack: {kernel_gap: {value: 2 us, origin: measured, source: a trace}}\n",
      "facts.yaml"));
  EXPECT_EQ(facts.gpu, "H800");
  ASSERT_EQ(facts.borrow.size(), 1u);
  EXPECT_EQ(facts.borrow[0].folder, "../h100");
  EXPECT_DOUBLE_EQ(facts.stack.kernel_gap.value.value(), 2e-6);
  EXPECT_TRUE(facts.stack.context.provenance.source.empty());
  EXPECT_THROW(
      read_facts(YamlDocument::from_text("gpu: H800\nstack: {kernel_gpa: {value: 2 us, origin: measured, source: t}}\n", "f.yaml")),
      InputError);
  EXPECT_THROW(read_facts(YamlDocument::from_text("stack: {kernel_gap: {value: 2 us}}\n", "f.yaml")), InputError);
}

}  // namespace
}  // namespace trillion
