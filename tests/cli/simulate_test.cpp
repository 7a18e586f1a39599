// `trillion simulate`: page or JSON on standard output, both files in the output folder; the same scenario and seed give the same
// bytes, whatever the thread count; a plan that does not fit is exit 3 and says why; bad input is exit 2 and writes nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "sim/estimate/report_figures.h"
#include "tests/cli/support/session.h"
#include "tests/cli/support/shipped.h"

namespace trillion::simulate_test {
namespace {

using testing::HasSubstr;

// Without the block that may differ.
std::string comparable(const std::string& json) { return json.substr(0, json.find("\"simulation\"")); }

TEST(Simulate, WritesPageAndReport) {
  const Folder folder;
  const Ended ended = trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "out", "--json", folder / "copy.json"}));
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("GPU-hours"));
  EXPECT_EQ(ended.out, file_text(folder / "out/report.txt"));
  EXPECT_EQ(file_text(folder / "copy.json"), file_text(folder / "out/report.json"));
  const auto figures = report_figures(file_text(folder / "out/report.json"), "report.json");
  EXPECT_EQ(figure(figures, "scenario")->text, "deepseek-v3");
  EXPECT_EQ(figure(figures, "overrides.0")->text, "cluster.nodes=128");
}

TEST(Simulate, JsonOnStandardOutputIsAlone) {
  const Folder folder;
  const Ended ended = trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "out", "--json", "-"}));
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_EQ(ended.out, file_text(folder / "out/report.json"));
}

TEST(Simulate, TraceIsATimelineOfTheRanksAskedFor) {
  const Folder folder;
  const Ended ended = trillion_with(
      with_small({"simulate", kDeepSeek, "--output", folder / "out", "--trace", folder / "step.json", "--trace-ranks", "0,15"}));
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  const std::string trace = file_text(folder / "step.json");
  EXPECT_THAT(trace, HasSubstr("pipeline rank 15"));
  EXPECT_THAT(trace, testing::Not(HasSubstr("pipeline rank 1\"")));
  EXPECT_THAT(trace, HasSubstr("attn(F)"));
  const Ended refused =
      trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "out", "--trace", folder / "no.json", "--trace-ranks", "16"}));
  EXPECT_EQ(refused.code, kExitBadInput);
  EXPECT_THAT(refused.err, HasSubstr("there is no pipeline rank 16; the plan has 0 to 15"));
}

TEST(Simulate, TheTrafficOfAnExchangeIsATable) {
  const Folder folder;
  const Ended ended = trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "out", "--traffic", folder / "traffic.csv"}));
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  const std::string table = file_text(folder / "traffic.csv");
  EXPECT_THAT(table, testing::StartsWith("direction,wire,from,to,bytes,alone_us,together_us\ndispatch,nic,0,8,"));
  EXPECT_THAT(table, HasSubstr("\ncombine,nvlink,"));
  EXPECT_THAT(ended.out, HasSubstr("EXCHANGE"));
  const Ended dense =
      trillion_with({"simulate", kRoot + "/scenarios/h100-dense-1b", "--output", folder / "out", "--traffic", folder / "no.csv"});
  EXPECT_EQ(dense.code, kExitBadInput);
  EXPECT_THAT(dense.err, HasSubstr("has no experts"));
}

// One step of DeepSeek-V3 on all its GPUs, with other homes for its experts.
std::vector<ReportFigure> with_experts(const std::vector<std::string>& plan) {
  std::vector<std::string> words = {"simulate",
                                    kDeepSeek,
                                    "--quiet",
                                    "--json",
                                    "-",
                                    "--set",
                                    "training.global_batch_size=4096",
                                    "--set",
                                    "training.tokens=0",
                                    "--set",
                                    "training.batch_size_schedule=null"};
  for (const std::string& key : plan) {
    words.emplace_back("--set");
    words.push_back("plan." + key);
  }
  const Ended ended = trillion_with(words);
  EXPECT_EQ(ended.code, kExitDone) << ended.err;
  return report_figures(ended.out, "report.json");
}

TEST(Simulate, CopiesOfTheBusiestExpertsEvenOutTheirRanks) {
  const std::vector<ReportFigure> alone = with_experts({"expert_placement=load-balanced"}),
                                  copied = with_experts({"expert_placement=load-balanced", "redundant_experts=64"});
  const auto ratio = [&](const char* path) { return figure(copied, path)->number / figure(alone, path)->number; };
  EXPECT_LT(ratio("routing.rank_load_max_over_mean"), 1) << "320 experts on 64 GPUs";
  EXPECT_LT(ratio("step.exposed_s.straggler"), 1);
  EXPECT_GT(ratio("memory.peak_bytes"), 1);
  EXPECT_NEAR(ratio("routing.bytes_per_token_scale_out"), 1, 0.02) << "a token crosses to as many nodes";
}

TEST(Simulate, ExpertsOfOneNodeExchangeNothingBetweenNodes) {
  const std::vector<ReportFigure> one = with_experts({"expert_parallel=8", "pipeline_parallel=32", "recompute=full"});
  EXPECT_EQ(figure(one, "routing.bytes_per_token_scale_out")->number, 0) << "256 experts on 8 GPUs";
  EXPECT_GT(figure(one, "routing.bytes_per_token_scale_up")->number, 0);
}

TEST(Simulate, SameSeedSameBytes) {
  const Folder folder;
  const auto report = [&](const std::string& threads, const std::string& seed) {
    return comparable(
        trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "out", "--json", "-", "--threads", threads, "--seed", seed}))
            .out);
  };
  const std::string once = report("1", "5");
  EXPECT_EQ(report("1", "5"), once);
  EXPECT_EQ(report("3", "5"), once);
  EXPECT_NE(report("1", "6"), once);
}

TEST(Simulate, QuietSaysNothingBesideTheAnswer) {
  const Folder folder;
  EXPECT_EQ(trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "out", "--quiet"})).err, "");
}

TEST(Simulate, APlanThatDoesNotFitIsExitThree) {
  const Folder folder;
  const Ended ended =
      trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "out", "--set", "cluster.gpu.usable_memory=20 GiB"}));
  EXPECT_EQ(ended.code, kExitCannotRun) << ended.err;
  EXPECT_THAT(ended.err, testing::HasSubstr("note: nothing was simulated; the report is in "));
  EXPECT_THAT(ended.out, testing::AllOf(HasSubstr("CANNOT RUN"), HasSubstr("GiB")));
  EXPECT_THAT(file_text(folder / "out/report.json"), HasSubstr("\"infeasible\""));
}

TEST(Simulate, ANetworkThatFailuresTearApartIsExitThree) {
  const Folder folder;
  const auto torn = [&](const std::string& failures) {
    return trillion_with({"simulate", kDeepSeek, "--output", folder / "out", "--set", "cluster.scale_out.kind=fat-tree", "--set",
                          "cluster.scale_out.planes=1", "--set", "cluster.scale_out.rails=false", "--set", "cluster.failures=" + failures});
  };
  const Ended cut = torn("[leaf 3]");
  EXPECT_EQ(cut.code, kExitCannotRun) << cut.err;
  EXPECT_THAT(cut.out, HasSubstr("failures cut off nodes 12 to 15 (32 of 2048 GPUs) from the rest of the network"));
  const Ended unknown = torn("[spine 999]");
  EXPECT_EQ(unknown.code, kExitBadInput);
  EXPECT_THAT(unknown.err, HasSubstr("there is no spine 999"));
}

TEST(Simulate, BadInputWritesNothing) {
  const Folder folder;
  const Ended ended = trillion_with({"simulate", kDeepSeek, "--output", folder / "out", "--set", "plan.tensor_paralel=8"});
  EXPECT_EQ(ended.code, kExitBadInput);
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, HasSubstr("tensor_parallel"));
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
}

TEST(Simulate, AnOutputFolderThatCannotBeIsSaid) {
  const Folder folder;
  folder.write("file", "");
  const Ended ended = trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "file"}));
  EXPECT_EQ(ended.code, kExitBadInput);
  EXPECT_EQ(ended.out, "");
}

}  // namespace
}  // namespace trillion::simulate_test
