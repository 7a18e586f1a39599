// Models and training as flags. That every model fits its own flags is in megatron_checks_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/handover/megatron_flags.h"
#include "sim/spec/load.h"
#include "tests/handover/support/plans.h"

namespace trillion::megatron_model_test {
namespace {

using namespace testing_support;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string text_of(const std::vector<FlagGroup>& groups) {
  std::string text;
  for (const FlagGroup& group : groups) {
    for (const Flag& flag : group.flags) text += flag_text(flag) + " ";
  }
  return text;
}

std::string model_text(const std::string& name) {
  std::vector<std::string> notes;
  return text_of(megatron_model_flags(load_model(std::string(TRILLION_SOURCE_DIR) + "/models/" + name + ".yaml"), notes));
}

TEST(MegatronModelFlags, OfPublishedModels) {
  EXPECT_THAT(model_text("deepseek-v3"),
              AllOf(HasSubstr("--num-layers 61"), HasSubstr("--multi-latent-attention --q-lora-rank 1536 --kv-lora-rank 512"),
                    HasSubstr("--moe-layer-freq '([0]*3+[1]*58)'"), HasSubstr("--mtp-num-layers 1"),
                    HasSubstr("--moe-router-num-groups 8 --moe-router-group-topk 4"), Not(HasSubstr("--kv-channels"))));
  EXPECT_THAT(model_text("qwen3-30b-a3b"), AllOf(HasSubstr("--group-query-attention --num-query-groups 4 --kv-channels 128 --qk-layernorm"),
                                                 HasSubstr("--num-experts 128 --moe-router-topk 8 --moe-ffn-hidden-size 768")));
  EXPECT_THAT(model_text("llama-3.1-70b"), AllOf(HasSubstr("--swiglu"), HasSubstr("--disable-bias-linear"), Not(HasSubstr("moe"))));
  EXPECT_THAT(model_text("gpt3-175b"),
              AllOf(HasSubstr("--position-embedding-type learned_absolute"), Not(HasSubstr("--swiglu")), HasSubstr("LayerNorm")));
  EXPECT_THAT(model_text("nemotron-4-340b"), HasSubstr("--squared-relu"));
  EXPECT_THAT(model_text("gpt-oss-120b"), AllOf(HasSubstr("--window-size 127,0"), HasSubstr("--softmax-type learnable")));
}

TEST(MegatronModelFlags, OfTraining) {
  Scenario s = dualpipe_scenario();
  s.training.optimizer_state.moment_bytes = 2;
  s.training.routing.balance = Balance::loss_free;
  std::vector<std::string> notes;
  const std::string text = text_of(megatron_training_flags(s, notes));
  EXPECT_THAT(text, AllOf(HasSubstr("--seq-length 4096"), HasSubstr("--global-batch-size 128"), HasSubstr("--bf16 --fp8-format hybrid"),
                          HasSubstr("--exp-avg-dtype bf16"), HasSubstr("--moe-router-enable-expert-bias")));
  EXPECT_THAT(text, AllOf(HasSubstr("--moe-router-bias-update-rate 0.001"), Not(HasSubstr("capacity"))));
  EXPECT_TRUE(notes.empty());
  s.training.routing.capacity_factor = 1.25;
  s.training.routing.pad_to_capacity = true;
  EXPECT_THAT(text_of(megatron_training_flags(s, notes)),
              HasSubstr("--moe-expert-capacity-factor 1.25 --moe-pad-expert-input-to-capacity"));
  s.model.moe->score = GateScore::softmax;
  megatron_training_flags(s, notes);
  EXPECT_EQ(notes.size(), 1u) << "the bias takes a sigmoid gate";
}

}  // namespace
}  // namespace trillion::megatron_model_test
