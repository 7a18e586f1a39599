// The configuration for today's torchtitan, which counts batches in tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/handover/support/plans.h"

namespace trillion::in_torchtitan_test {
namespace {

using namespace testing_support;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

TEST(InTorchtitan, AFunctionFlagsAndStages) {
  Scenario s = dualpipe_scenario();
  s.model.name = "DeepSeek-V3";
  EXPECT_THAT(
      in_torchtitan(handed(s)),
      AllOf(HasSubstr("from torchtitan.models.deepseek_v3.config_registry import deepseek_v3_671b\n"),
            HasSubstr("def linear_pp4_ep8_64gpu() -> Trainer.Config:\n"), HasSubstr("config.training.num_tokens_per_train_step = 524288\n"),
            HasSubstr("config.parallelism.num_pp_microbatches = 8\n"), HasSubstr("\"DualPipeV\""), HasSubstr("\"norm\", \"lm_head\"]"),
            HasSubstr("SelectiveAC.Config()"), HasSubstr("--parallelism.pipeline_parallel_degree 4"), Not(HasSubstr("capacity_factor"))));
  s.training.routing.capacity_factor = 1.25;
  EXPECT_THAT(in_torchtitan(handed(s)), HasSubstr("capacity_factor: torchtitan drops no tokens"));
}

TEST(InTorchtitan, AModelWithoutAConfigurationIsPassedIn) {
  EXPECT_THAT(in_torchtitan(handed(dualpipe_scenario())), HasSubstr("(config: Trainer.Config) -> Trainer.Config:"));
}

// Its 405B converts to FP8 and overlaps tensor parallelism by itself: a plan that does neither must say so.
TEST(InTorchtitan, WhatAFunctionTurnsOnByItselfIsTurnedOff) {
  Scenario s = dualpipe_scenario();
  s.model = dense_model(15);
  s.model.name = "Llama-3.1-405B";
  s.plan.expert_parallel = 1;
  s.plan.precision = Precision::bf16;
  s.plan.recompute.clear();
  s.plan.tensor_parallel = 2;
  s.plan.tensor_parallel_overlap = TensorOverlap::bulk;
  const std::string text = in_torchtitan(handed(s));
  EXPECT_THAT(text, HasSubstr("from torchtitan.models.llama3 import model_registry\n"));
  EXPECT_THAT(text, HasSubstr("    config.model_spec = model_registry(\"405B\")"));
  EXPECT_THAT(text, HasSubstr("    config.compile.enable_async_tensor_parallel = False\n"));
  s.plan.precision = Precision::fp8;
  EXPECT_THAT(in_torchtitan(handed(s)), Not(AnyOf(HasSubstr("model_registry"), HasSubstr("Float8LinearConverter"))));
}

}  // namespace
}  // namespace trillion::in_torchtitan_test
