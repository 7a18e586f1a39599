// Plans as flags. That they come back is in read_megatron_test.cpp.
#include "sim/handover/megatron_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/handover/support/plans.h"

namespace trillion::megatron_flags_test {
namespace {

using namespace testing_support;
using testing::HasSubstr;
using testing::Not;

std::string text_of(const std::vector<FlagGroup>& groups) {
  std::string text;
  for (const FlagGroup& group : groups) {
    for (const Flag& flag : group.flags) text += flag_text(flag) + " ";
  }
  return text;
}

std::string plan_text(const Scenario& s) { return text_of(megatron_plan_flags(s, expressed_in_megatron(s).plan)); }

TEST(MegatronFlags, OfAPlan) {
  const std::string text = plan_text(dualpipe_scenario());
  for (const char* flag :
       {"--pipeline-model-parallel-size 4 --pipeline-model-parallel-layout 'Et*3|t*4|t*4|t*4mL'", "--expert-model-parallel-size 8",
        "--use-distributed-optimizer", "--overlap-grad-reduce", "--recompute-modules layernorm moe_act"}) {
    EXPECT_THAT(text, HasSubstr(flag));
  }
  EXPECT_THAT(text, Not(HasSubstr("virtual")));
}

TEST(MegatronFlags, OfFullySharding) {
  Scenario s = dualpipe_scenario();
  s.plan.sharding = Sharding::zero_3;
  s.plan.sharding_group = 8;
  const std::string text = plan_text(s);
  EXPECT_THAT(text, HasSubstr("--use-megatron-fsdp --data-parallel-sharding-strategy optim_grads_params"));
  EXPECT_THAT(text, HasSubstr("--num-distributed-optimizer-instances 2"));
}

TEST(MegatronFlags, AreQuotedForAShell) {
  EXPECT_EQ(flag_text({"--a", {"b|c", "d'e", "", "f_1.5"}}), "--a 'b|c' 'd'\\''e' '' f_1.5");
  EXPECT_EQ(flag_text({"--on", {}}), "--on");
}

TEST(MegatronFlags, TheirDifferenceIsWhatToTypeAndWhatToDrop) {
  const std::vector<FlagGroup> from = {{"A", {{"--a", {"1"}}, {"--b", {}}, {"--c", {"x"}}}}},
                               to = {{"B", {{"--a", {"2"}}, {"--b", {}}, {"--d", {}}}}};
  EXPECT_EQ(flag_difference(from, to), "--a 2 --d, without --c");
  EXPECT_EQ(flag_difference(from, from), "");
  EXPECT_EQ(flag_difference(from, {}), "without --a, without --b, without --c");
}

}  // namespace
}  // namespace trillion::megatron_flags_test
