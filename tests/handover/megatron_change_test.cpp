// From one plan to another, in Megatron-LM's flags.
#include "sim/handover/megatron_change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/handover/support/plans.h"

namespace trillion::megatron_change_test {
namespace {

using namespace testing_support;

Scenario plain() {
  Plan p;
  p.data_parallel = 8;
  p.layers_per_stage = {8};
  return linear_scenario(moe_model(8), p, 1, 64);
}

TEST(MegatronChange, SaysWhatToTypeAndWhatToDrop) {
  Scenario to = plain();
  to.plan.micro_batch_size = 2;
  to.plan.recompute = {RecomputeModule::norm};
  EXPECT_EQ(megatron_change(plain(), to), "--micro-batch-size 2 --recompute-granularity selective --recompute-modules layernorm");
  EXPECT_EQ(megatron_change(to, plain()), "--micro-batch-size 1, without --recompute-granularity, without --recompute-modules");
  to = plain();
  to.plan.precision = Precision::fp8;
  EXPECT_EQ(megatron_change(plain(), to), "--fp8-format hybrid --fp8-recipe delayed");
}

TEST(MegatronChange, OrThatThereIsNoFlag) {
  Scenario to = plain();
  to.plan.expert_placement = ExpertPlacement::round_robin;
  EXPECT_THAT(megatron_change(plain(), to), testing::StartsWith("no flags: plan.expert_placement: round-robin"));
  EXPECT_THAT(megatron_change(to, plain()), testing::StartsWith("no flags: Megatron-LM makes no difference"));
  EXPECT_THAT(megatron_change(plain(), plain()), testing::StartsWith("no flags"));
}

}  // namespace
}  // namespace trillion::megatron_change_test
