// The recipe for Megatron-Bridge.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/handover/support/plans.h"

namespace trillion::in_megatron_bridge_test {
namespace {

using namespace testing_support;
using testing::AllOf;
using testing::HasSubstr;

TEST(InMegatronBridge, AFunctionAndTheSameAsOverrides) {
  Scenario s = dualpipe_scenario();
  s.model.name = "DeepSeek-V3";
  EXPECT_THAT(in_megatron_bridge(handed(s)),
              AllOf(HasSubstr("from megatron.bridge.recipes.deepseek.deepseek_v3 import deepseek_v3_pretrain_config\n"),
                    HasSubstr("def linear_pp4_ep8_64gpu_config() -> ConfigContainer:\n    cfg = deepseek_v3_pretrain_config()\n"),
                    HasSubstr("    cfg.model.pipeline_model_parallel_layout = \"Et*3|t*4|t*4|t*4mL\"\n"),
                    HasSubstr("'model.pipeline_model_parallel_layout=Et*3|t*4|t*4|t*4mL'"), HasSubstr("model.expert_model_parallel_size=8"),
                    HasSubstr("    cfg.model.moe_expert_capacity_factor = None\n"), HasSubstr("    return cfg\n")));
}

// Hydra refuses brackets outside of quotes.
TEST(InMegatronBridge, OverridesWithBracketsAreQuotedForHydraToo) {
  Scenario s = dualpipe_scenario();
  s.plan.pipeline_parallel = 6;
  s.plan.data_parallel.reset();
  s.plan.layers_per_stage = {2, 3, 3, 3, 3, 1};
  const std::string text = in_megatron_bridge(handed(s));
  EXPECT_THAT(text, HasSubstr("'model.pipeline_model_parallel_layout=\"Et*2|(t*3|)*4tmL\"'"));
  EXPECT_THAT(text, HasSubstr("    cfg.model.pipeline_model_parallel_layout = \"Et*2|(t*3|)*4tmL\"\n"));
}

TEST(InMegatronBridge, AModelWithoutARecipeIsSpelledOut) {
  EXPECT_THAT(in_megatron_bridge(handed(dualpipe_scenario())),
              AllOf(HasSubstr("vanilla_gpt_pretrain_config"), HasSubstr("cfg.model.num_layers = 15"),
                    HasSubstr("cfg.model.num_moe_experts = 64"), HasSubstr("ships no recipe for latent")));
}

}  // namespace
}  // namespace trillion::in_megatron_bridge_test
