// The script for Megatron-LM: bash takes it, and every flag is behind the program. That it reads back is in read_megatron_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <string>

#include "sim/handover/shell_words.h"
#include "tests/handover/support/plans.h"

namespace trillion::in_megatron_test {
namespace {

using namespace testing_support;
using testing::Contains;
using testing::HasSubstr;

TEST(InMegatron, OneCommandRunsTheProgramWithEveryFlag) {
  const std::string text = in_megatron(handed(dualpipe_scenario()));
  EXPECT_EQ(text.substr(0, 20), "#!/usr/bin/env bash\n");
  const ShellScript script = read_shell(text, "run.sh");
  ASSERT_EQ(script.commands.size(), 2u) << "set, torchrun";
  std::vector<std::string> words;
  for (const ShellWord& w : script.commands[1].words) words.push_back(w.text);
  EXPECT_EQ(words.front(), "torchrun");
  for (const char* word : {"pretrain_gpt.py", "--num-layers", "--pipeline-model-parallel-layout", "Et*3|t*4|t*4|t*4mL"})
    EXPECT_THAT(words, Contains(word));
}

// The list was written by Megatron-LM's own parser.
TEST(InMegatron, PropertyMegatronKnowsEveryFlag) {
  std::set<std::string> known;
  std::ifstream list(TRILLION_SOURCE_DIR "/tests/handover/data/megatron_flags_d98e8a6.txt");
  for (std::string line; std::getline(list, line);) known.insert(line);
  ASSERT_GT(known.size(), 800u);
  std::set<std::string> written;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const std::string text = in_megatron(handed(random_scenario(seed)));
    const std::regex flag("(^|[ ( ])(--[a-z0-9-]+)");
    const std::string command = text.substr(text.find("set -euo"), text.find("\n# Data, tokenizer") - text.find("set -euo"));
    for (auto i = std::sregex_iterator(command.begin(), command.end(), flag); i != std::sregex_iterator(); ++i) {
      written.insert((*i)[2]);
      EXPECT_TRUE(known.contains((*i)[2])) << (*i)[2] << ", seed " << seed;
    }
  }
  EXPECT_GT(written.size(), 40u);
}

TEST(InMegatron, ConnectionsAsTheOverlapNeedsThem) {
  Scenario s = random_scenario(1);
  s.plan.tensor_parallel = 2;
  s.plan.sharding = Sharding::none;
  s.plan.sharding_group.reset();
  s.plan.overlap_parameter_gather = false;
  EXPECT_THAT(in_megatron(handed(s)), HasSubstr("CUDA_DEVICE_MAX_CONNECTIONS=1"));
  s.plan.sharding = Sharding::zero_3;
  EXPECT_THAT(in_megatron(handed(s)), testing::Not(HasSubstr("CUDA_DEVICE_MAX_CONNECTIONS"))) << "FSDP forbids it";
}

}  // namespace
}  // namespace trillion::in_megatron_test
