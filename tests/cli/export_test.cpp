// --export: on standard output alone, or in a file; and a plan's own script asks for the plan again.
#include "sim/cli/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/support/session.h"
#include "tests/cli/support/shipped.h"

namespace trillion::export_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::vector<std::string> one_f_one_b(std::vector<std::string> words) {
  words.insert(words.end(), {"--set", "plan.schedule=1f1b", "--set", "plan.recompute=[norm, mla_up_projection, moe_activation]"});
  return with_small(words);
}

TEST(Export, StandsAloneOnStandardOutput) {
  const Folder folder;
  const Ended ended = trillion_with(one_f_one_b({"simulate", kDeepSeek, "--output", folder / "o", "--export", "megatron"}));
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, AllOf(StartsWith("#!/usr/bin/env bash\n"), HasSubstr("--pipeline-model-parallel-size 16"),
                               Not(HasSubstr("WHERE THE TIME GOES")), Not(HasSubstr("cannot be asked for"))));
}

TEST(Export, AndPlanAreInverses) {
  const Folder folder;
  const std::string run = folder / "run.sh";
  const Ended first =
      trillion_with(one_f_one_b({"simulate", kDeepSeek, "--output", folder / "a", "--export", "megatron", "--export-file", run}));
  ASSERT_EQ(first.code, kExitDone) << first.err;
  EXPECT_THAT(first.out, HasSubstr("WHERE THE TIME GOES")) << "the page is there, the export is in the file";
  const Ended second = trillion_with(with_small({"simulate", kDeepSeek, "--output", folder / "b", "--plan", run}));
  ASSERT_EQ(second.code, kExitDone) << second.err;
  const Ended difference = trillion_with({"compare", folder / "a/report.json", folder / "b/report.json"});
  EXPECT_THAT(difference.out, Not(HasSubstr("answer.")));
  EXPECT_THAT(difference.out, Not(HasSubstr("plan.")));
}

TEST(Export, JsonStaysJson) {
  const Folder folder;
  const Ended ended = trillion_with(
      one_f_one_b({"simulate", kDeepSeek, "--output", folder / "o", "--export", "deepspeed", "--export-file", folder / "ds_config.json"}));
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(file_text(folder / "ds_config.json"), AllOf(StartsWith("{"), Not(HasSubstr("#"))));
  EXPECT_THAT(file_text(folder / "ds_config.launch.sh"), HasSubstr("GPU-hours per trillion tokens"));
}

TEST(Export, TheBestOfASearch) {
  const Folder folder;
  const Ended ended = trillion_with(
      with_small({"plan", kDeepSeek, "--export", "megatron", "--set", "search.schedule=1f1b", "--set", "search.pipeline_parallel=16",
                  "--set", "search.expert_parallel=64", "--set", "search.micro_batch_size=1", "--set", "search.tensor_parallel=1"}));
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out,
              AllOf(StartsWith("#!/usr/bin/env bash\n"), HasSubstr("--expert-model-parallel-size 64"), Not(HasSubstr("RANKED"))));
}

TEST(Export, WhatCannotBeMeantIsRefused) {
  EXPECT_EQ(trillion_with({"simulate", kDeepSeek, "--export-file", "x"}).code, kExitBadInput);
  EXPECT_EQ(trillion_with({"simulate", kDeepSeek, "--export", "megatron", "--json", "-"}).code, kExitBadInput);
  const Ended unknown = trillion_with({"simulate", kDeepSeek, "--export", "jax"});
  EXPECT_EQ(unknown.code, kExitBadInput);
  EXPECT_THAT(unknown.err, HasSubstr("megatron-bridge"));
}

}  // namespace
}  // namespace trillion::export_test
