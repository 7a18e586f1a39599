// What a family's keys mean, and what its own code does where one is left out.
#include "sim/spec/model_family.h"

#include "sim/spec/load.h"
#include "tests/spec/mistakes.h"

namespace trillion::model_family_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Model model_of(const std::string& text) {
  Model model;
  read_text(text, [&](YamlReader& r) { model = read_model(r, "model"); });
  return model;
}

std::vector<std::string> mistakes(const std::string& text) {
  return mistakes_in(text, [](YamlReader& r) { read_model(r, "model"); });
}

std::string decoder(const std::string& type, const std::string& more = "") {
  return "model_type: " + type +
         "\nhidden_size: 64\nnum_hidden_layers: 4\nnum_attention_heads: 4\nvocab_size: 100\nintermediate_size: 256\n" + more;
}

TEST(ModelFamily, LlamaWithoutKeyValueHeadsHasOnePerHead) {
  const Model m = model_of(decoder("llama"));
  EXPECT_EQ(m.num_key_value_heads, 4);
  EXPECT_EQ(m.head_dim, 16);
  EXPECT_FALSE(m.tie_word_embeddings);
  EXPECT_FALSE(m.attention_bias);
  EXPECT_THAT(m.moe_layers, ElementsAre(false, false, false, false));
  EXPECT_EQ(model_of(decoder("llama", "head_dim: 32\n")).q_width(), 128);
  EXPECT_TRUE(model_of(decoder("llama", "attention_bias: true\n")).attention_output_bias);
}

TEST(ModelFamily, FamiliesWithGroupedQueriesAskForThem) {
  for (const char* type : {"mistral", "qwen2", "qwen3"}) {
    EXPECT_THAT(mistakes(decoder(type)), ElementsAre("1:1 missing key 'num_key_value_heads'")) << type;
  }
}

TEST(ModelFamily, HeadsThatDoNotDivideNeedAHeadDim) {
  EXPECT_THAT(mistakes(replaced(decoder("llama"), "num_attention_heads: 4", "num_attention_heads: 5")),
              ElementsAre("4:22 'num_attention_heads': 5 does not divide hidden_size, 64 | or give head_dim"));
}

TEST(ModelFamily, QwenWindowsCountOnlyWhenUsed) {
  const std::string window = "num_key_value_heads: 2\nsliding_window: 128\nmax_window_layers: 3\n";
  EXPECT_THAT(model_of(decoder("qwen2", window)).sliding_window, ElementsAre());
  EXPECT_THAT(model_of(decoder("qwen2", window + "use_sliding_window: true\n")).sliding_window, ElementsAre(0, 0, 0, 128));
  EXPECT_TRUE(model_of(decoder("qwen2", window)).attention_bias);
  EXPECT_FALSE(model_of(decoder("qwen2", window)).attention_output_bias);
}

TEST(ModelFamily, QwenMixturesPlaceTheirDenseLayers) {
  const std::string moe = "num_key_value_heads: 2\nnum_experts: 8\nnum_experts_per_tok: 2\nmoe_intermediate_size: 32\n";
  EXPECT_THAT(model_of(decoder("qwen3_moe", moe)).moe_layers, ElementsAre(true, true, true, true));
  EXPECT_THAT(model_of(decoder("qwen3_moe", moe + "decoder_sparse_step: 2\n")).moe_layers, ElementsAre(false, true, false, true));
  EXPECT_THAT(model_of(decoder("qwen3_moe", moe + "mlp_only_layers: [0]\n")).moe_layers, ElementsAre(false, true, true, true));
  const Model m = model_of(decoder("qwen2_moe", moe + "shared_expert_intermediate_size: 48\n"));
  EXPECT_EQ(m.moe->shared_intermediate_size, 48);
  EXPECT_TRUE(m.moe->shared_gate);
  EXPECT_THAT(mistakes(decoder("qwen3_moe", moe + "decoder_sparse_step: 0\n")),
              ElementsAre(HasSubstr("11:22 'decoder_sparse_step': must be at least 1")));
}

TEST(ModelFamily, ExpertsHaveThreeSpellingsButOneAtATime) {
  const std::string rest = "num_key_value_heads: 2\nnum_experts_per_tok: 2\n";
  for (const char* key : {"num_local_experts", "num_experts", "n_routed_experts"}) {
    EXPECT_EQ(model_of(decoder("mixtral", rest + std::string(key) + ": 8\n")).moe->n_routed_experts, 8);
  }
  EXPECT_THAT(mistakes(decoder("mixtral", rest + "num_local_experts: 8\nnum_experts: 9\n")), ElementsAre(HasSubstr("unknown key 'num_")));
}

constexpr const char* kLatent = R"(num_experts_per_tok: 4
n_routed_experts: 16
n_shared_experts: 2
moe_intermediate_size: 32
first_k_dense_replace: 1
q_lora_rank: 48
kv_lora_rank: 32
qk_nope_head_dim: 16
qk_rope_head_dim: 8
v_head_dim: 16
n_group: 4
topk_group: 2
)";

TEST(ModelFamily, DeepSeekGates) {
  const Model v3 = model_of(decoder("deepseek_v3", kLatent));
  EXPECT_EQ(v3.moe->score, GateScore::sigmoid);
  EXPECT_TRUE(v3.moe->correction_bias);
  EXPECT_EQ(v3.moe->topk_group_scores, 2);
  EXPECT_EQ(v3.moe->shared_intermediate_size, 64);
  EXPECT_THAT(v3.moe_layers, ElementsAre(false, true, true, true));
  const Model v2 = model_of(decoder("deepseek_v2", std::string(kLatent) + "topk_method: group_limited_greedy\n"));
  EXPECT_EQ(v2.moe->score, GateScore::softmax);
  EXPECT_FALSE(v2.moe->correction_bias);
  EXPECT_EQ(v2.moe->topk_group_scores, 1);
  EXPECT_EQ(v2.moe->topk_group, 2);
  EXPECT_EQ(model_of(decoder("deepseek_v2", std::string(kLatent) + "topk_method: greedy\n")).moe->n_group, 1)
      << "greedy looks at no groups";
}

TEST(ModelFamily, QueriesAreUncompressedOnlyWhenTheFileSaysSo) {
  EXPECT_FALSE(model_of(decoder("deepseek_v3", replaced(kLatent, "q_lora_rank: 48", "q_lora_rank: null"))).mla->q_lora_rank);
  EXPECT_THAT(mistakes(decoder("deepseek_v3", replaced(kLatent, "q_lora_rank: 48\n", ""))), ElementsAre("1:1 missing key 'q_lora_rank'"));
}

TEST(ModelFamily, GptOssAlternatesWindowsUnlessTheFileSaysOtherwise) {
  const std::string rest = "num_key_value_heads: 2\nnum_experts_per_tok: 2\nnum_local_experts: 8\nsliding_window: 16\n";
  EXPECT_THAT(model_of(decoder("gpt_oss", rest)).sliding_window, ElementsAre(16, 0, 16, 0));
  EXPECT_THAT(model_of(decoder("gpt_oss", rest + "layer_types: [full_attention, full_attention, full_attention, sliding_attention]\n"))
                  .sliding_window,
              ElementsAre(0, 0, 0, 16));
  EXPECT_THAT(mistakes(decoder("gpt_oss", rest + "layer_types: [full_attention]\n")),
              ElementsAre(HasSubstr("has 1 entries; num_hidden_layers is 4")));
  EXPECT_THAT(mistakes(decoder("gpt_oss", rest + "experts_per_token: 3\n")),
              ElementsAre(HasSubstr("'experts_per_token': is not num_experts_per_tok, 2")));
}

TEST(ModelFamily, GptTwoDefaults) {
  const Model m = model_of("model_type: gpt2\nn_embd: 64\nn_layer: 2\nn_head: 4\nn_positions: 128\nvocab_size: 100\n");
  EXPECT_EQ(m.intermediate_size, 256);
  EXPECT_TRUE(m.tie_word_embeddings);
  EXPECT_EQ(m.position_encoding, PositionEncoding::learned);
  EXPECT_EQ(m.normalisation, Normalisation::layer_norm);
  EXPECT_EQ(m.activation, Activation::gelu);
  EXPECT_TRUE(m.mlp_bias && m.attention_bias && m.attention_output_bias);
  EXPECT_EQ(
      model_of("model_type: gpt2\nn_embd: 64\nn_layer: 2\nn_head: 4\nn_positions: 128\nvocab_size: 100\nn_inner: null\n").intermediate_size,
      256);
}

TEST(ModelFamily, OtherActivationsAreNotGuessed) {
  EXPECT_THAT(mistakes(decoder("llama", "hidden_act: gelu\n")),
              ElementsAre(HasSubstr("7:13 'hidden_act': 'gelu' is not modelled for this model_type; accepted is silu")));
  EXPECT_EQ(model_of(decoder("nemotron", "hidden_act: relu2\n")).activation, Activation::squared_relu);
}

TEST(ModelFamily, OlmoNormsHaveNoWeights) {
  EXPECT_FALSE(model_of(decoder("olmo")).norm_weights);
  EXPECT_TRUE(model_of(decoder("olmo2")).norm_weights);
  EXPECT_TRUE(model_of(decoder("olmo2")).qk_norm_full_width);
}

TEST(ModelFamily, EveryFamilyRefusesAnEmptyFileWithoutCrashing) {
  for (const std::string_view name : kModelFamilyNames) {
    const auto found = mistakes("model_type: " + std::string(name) + "\n");
    EXPECT_GE(found.size(), 4u) << name;
    for (const std::string& mistake : found) EXPECT_THAT(mistake, HasSubstr("missing key")) << name;
  }
}

}  // namespace
}  // namespace trillion::model_family_test
