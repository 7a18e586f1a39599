// --plan FILE: a script in the place of the scenario's plan, with --set after it.
#include "sim/cli/megatron_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/support/session.h"
#include "tests/cli/support/shipped.h"

namespace trillion::megatron_plan_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const char* kFlags =
    "--bf16 --micro-batch-size 1 --pipeline-model-parallel-size 8 --expert-model-parallel-size 64 --use-distributed-optimizer \\\n"
    "  --overlap-grad-reduce --recompute-granularity full --recompute-method uniform --recompute-num-layers 1 \\\n"
    "  --pipeline-model-parallel-layout 'Et*7|(t*8|)*6t*6mL' --moe-permute-fusion --lr 1e-4\n";

TEST(PlanFile, ReplacesThePlanAndSetComesAfter) {
  const Folder folder;
  const std::string file = folder.write("run.sh", kFlags);
  const Ended ended = trillion_with(
      with_small({"simulate", kDeepSeek, "--plan", file, "--output", folder / "o", "--set", "plan.recompute_num_layers=2", "--json", "-"}));
  ASSERT_EQ(ended.code, kExitDone) << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("\"pipeline_parallel\": 8"), HasSubstr("\"schedule\": \"1f1b\""),
                               HasSubstr("\"recompute_num_layers\": 2"), HasSubstr("\"precision\": \"bf16\""), HasSubstr("--plan ")));
  EXPECT_THAT(ended.err, AllOf(HasSubstr("not modelled: --moe-permute-fusion"), HasSubstr("1 flag that costs no time")));
}

TEST(PlanFile, AMistakeIsAtItsPlace) {
  const Folder folder;
  const std::string file = folder.write("run.sh", "--bf16 \\\n  --hidden-size 4096 --pipeline-model-parallel-size x\n");
  for (const char* verb : {"simulate", "explain", "plan", "compare"}) {
    const Ended ended = trillion_with({verb, kDeepSeek, "--plan", file});
    EXPECT_EQ(ended.code, kExitBadInput) << verb;
    EXPECT_THAT(ended.err, AllOf(HasSubstr("run.sh:2:3: error: --hidden-size 4096"), HasSubstr("run.sh:2:53: error:"))) << verb;
  }
  EXPECT_EQ(trillion_with({"simulate", kDeepSeek, "--plan", folder / "absent"}).code, kExitBadInput);
}

TEST(PlanFile, AShippedScriptIsItsScenariosPlan) {
  const std::string issue = kRoot + "/scenarios/qwen3-30b-a3b-h100-issue-2762";
  const PlanFile read = read_plan_file(issue + "/run.sh", issue, {});
  EXPECT_EQ(read.overrides.size(), 1u) << "the training is the scenario's";
  EXPECT_EQ(load_scenario(issue, read.overrides).plan, load_scenario(issue).plan);
}

TEST(PlanFile, ModelsSetOnTheCommandLineAreTheModelsHeldAgainst) {
  const Folder folder;
  const std::string file = folder.write("run.sh", "--bf16 --mtp-num-layers 2");
  EXPECT_THROW(read_plan_file(file, kDeepSeek, {}), InputError);
  const PlanFile read = read_plan_file(file, kDeepSeek, {"model.num_nextn_predict_layers=2", "plan.virtual_pipeline_stages=7"});
  EXPECT_THAT(read.overrides.front(), HasSubstr("plan={"));
}

}  // namespace
}  // namespace trillion::megatron_plan_test
