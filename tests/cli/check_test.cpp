// `trillion check`: one line for a good file, every error of a bad one, and the good ones are still told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/cli/support/session.h"
#include "tests/cli/support/shipped.h"

namespace trillion::check_test {
namespace {

using testing::HasSubstr;

TEST(Check, SaysWhatAFileHolds) {
  const Ended ended = trillion_with(
      {"check", kRoot + "/models/deepseek-v3.yaml", kRoot + "/topologies/h800-2048.yaml", kDeepSeek, kDeepSeek + "/expected.yaml"});
  EXPECT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("models/deepseek-v3.yaml: OK, model"));
  EXPECT_THAT(ended.out, HasSubstr("671B parameters"));
  EXPECT_THAT(ended.out, HasSubstr("2 048 GPUs"));
  EXPECT_THAT(ended.out, HasSubstr("published figures"));
  EXPECT_EQ(std::count(ended.out.begin(), ended.out.end(), '\n'), 4);
}

TEST(Check, PrintsEveryErrorAndTheGoodFilesToo) {
  const Folder folder;
  const std::string bad = folder.write("bad.yaml", "model_type: llama\nhiden_size: 8\nnum_hidden_layers: -1\nvocab_size: many\n");
  const Ended ended = trillion_with({"check", bad, kRoot + "/models/deepseek-v3.yaml"});
  EXPECT_EQ(ended.code, kExitBadInput);
  for (const char* part : {"bad.yaml:2:1", "hidden_size", "bad.yaml:3:", "bad.yaml:4:"}) EXPECT_THAT(ended.err, HasSubstr(part));
  EXPECT_THAT(ended.out, HasSubstr("deepseek-v3.yaml: OK"));
  EXPECT_THAT(ended.out, testing::Not(HasSubstr("bad.yaml"))) << "a bad file is not called OK on the way to its errors";
}

TEST(Check, ReadsShapes) {
  const Folder folder;
  const std::string shapes = folder.write("s.jsonl", "{\"op\":\"gemm\",\"dtype\":\"bf16\",\"m\":1,\"n\":2,\"k\":3}\n");
  EXPECT_EQ(trillion_with({"check", shapes}).out, shapes + ": OK, 1 shape\n");
}

TEST(Check, ShowsWhatANodesDumpStandsFor) {
  const Folder folder;
  const std::string dump = folder.write("node.txt", "\tGPU0\tGPU1\tNIC0\nGPU0\tX\tNV18\tPIX\nGPU1\tNV18\tX\tPIX\nNIC0\tPIX\tPIX\tX\n");
  const Ended ended = trillion_with({"check", dump});
  EXPECT_EQ(ended.code, kExitDone) << ended.err;
  for (const char* part : {"a node of 2 GPUs", "gpus_per_node: 2", "bandwidth: 450 GB/s", "nics_per_node: 1"})
    EXPECT_THAT(ended.out, HasSubstr(part));
}

TEST(Check, WhatIsNotThereIsSaid) {
  const Folder folder;
  const Ended ended = trillion_with({"check", folder / "absent.yaml"});
  EXPECT_EQ(ended.code, kExitBadInput);
  EXPECT_THAT(ended.err, HasSubstr("absent.yaml"));
  EXPECT_EQ(ended.out, "");
}

// The cluster of DeepSeek-V3 with other lines.
std::string other_cluster(const Folder& folder, const std::string& line, const std::string& instead) {
  std::string text = file_text(kRoot + "/topologies/h800-2048.yaml");
  const std::size_t at = text.find("\n" + line);
  text.replace(at + 1, text.find('\n', at + 1) - at - 1, instead);
  return folder.write("cluster.yaml", text);
}

TEST(Check, WhatANetworkHasNotIsSaidWhereItIsWritten) {
  const Folder folder;
  const std::string scenario = folder.write("scenario.yaml", "base: " + kDeepSeek + "/scenario.yaml\ncluster: " +
                                                                 other_cluster(folder, "nodes:", "failures: [core 1]\nnodes: 256") + "\n");
  const Ended whole = trillion_with({"check", scenario});
  EXPECT_EQ(whole.code, kExitBadInput);
  EXPECT_THAT(whole.err, HasSubstr("cluster.yaml:5:12: error: 'failures': this network has no core"));
  const auto says = [&](const std::string& line, const std::string& instead) {
    const Ended ended = trillion_with({"check", other_cluster(folder, line, instead)});
    EXPECT_EQ(ended.code, kExitBadInput) << instead;
    return ended.err;
  };
  EXPECT_THAT(says("nodes:", "failures: [leaf 3, spine 900]\nnodes: 256"),
              testing::AllOf(HasSubstr("cluster.yaml:5:20: error: 'failures': there is no spine 900; they are numbered 0 to"),
                             HasSubstr("\n    failures: [leaf 3, spine 900]")));
  EXPECT_THAT(says("nodes:", "failures: [router 0]\nnodes: 256"),
              HasSubstr("cluster.yaml:5:12: error: 'failures': this network has no router"));
  EXPECT_THAT(says("nodes:", "nodes: 5000"),
              HasSubstr("cluster.yaml:37:11: error: 'scale_out.layers': 2 with 64-port switches holds 2048"));
  EXPECT_THAT(says("  nic_bandwidth:", "  nic_bandwidth: 1e-30 GB/s"),
              HasSubstr("cluster.yaml:33:18: error: 'scale_out.nic_bandwidth': must be between 1000 B/s and 1e18 B/s"));
  EXPECT_THAT(says("  hop_latency:", "  hop_latency: 1e9 s"),
              HasSubstr("cluster.yaml:41:16: error: 'scale_out.hop_latency': must be between"));
}

}  // namespace
}  // namespace trillion::check_test
