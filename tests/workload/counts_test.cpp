// How large, how much arithmetic. The algebra first:
//   total = embedding + head + final norm + sum over layers;  activated = the same with k instead of E experts;
//   totals equal the published safetensors totals to the last digit;
//   FLOPs: full - causal = half of the attention matrix;  a window as long as the sequence is none;  MTP never counts in the others.
#include "sim/workload/counts.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sim/base/error.h"
#include "sim/spec/load.h"

namespace trillion::counts_test {
namespace {

Model model_of(const std::string& name, const Overrides& overrides = {}) {
  return load_model(std::string(TRILLION_SOURCE_DIR) + "/models/" + name + ".yaml", overrides);
}

struct Published {
  std::string model;
  Overrides overrides;
  std::int64_t total;
  double activated_billion, without_embedding_billion;
};

// Totals of models.md section 2; those of Llama and OLMo-2 are the Hub's own.
const std::vector<Published>& published() {
  static const std::vector<Published> rows = {
      {"deepseek-v3", {}, 671'026'419'200, 37.552, 36.626},
      {"deepseek-v2", {}, 235'741'434'880, 21.376, 20.852},
      {"deepseek-v2-lite", {}, 15'706'484'224, 2.661, 2.451},
      {"deepseek-67b", {}, 67'425'001'472, 67.425, 66.586},
      {"deepseek-v3-baseline-229b", {}, 228'701'230'080, 21.60, 20.94},
      {"qwen2.5-72b", {}, 72'706'203'648, 72.706, 71.460},
      {"qwen3-235b-a22b", {}, 235'093'634'560, 22.191, 21.568},
      {"qwen3-30b-a3b", {}, 30'532'122'624, 3.353, 3.042},
      {"llama-3.1-8b", {}, 8'030'261'248, 8.030, 7.505},
      {"llama-3.1-70b", {}, 70'553'706'496, 70.554, 69.503},
      {"llama-3.1-405b", {}, 405'853'388'800, 405.853, 403.752},
      {"llama-2-7b", {}, 6'738'415'616, 6.738, 6.607},
      {"llama-2-13b", {}, 13'015'864'320, 13.016, 12.852},
      {"llama-2-70b", {}, 68'976'648'192, 68.977, 68.715},
      {"mixtral-8x7b", {}, 46'702'792'704, 12.880, 12.749},
      {"mixtral-8x7b",
       {"hidden_size=6144", "num_hidden_layers=56", "num_attention_heads=48", "intermediate_size=16384", "vocab_size=32768"},
       140'630'071'296,
       39.161,
       38.960},
      {"kimi-k2", {}, 1'026'408'232'448, 32.862, 31.687},
      {"olmo-2-7b", {}, 7'298'617'344, 7.299, 6.888},
      {"olmo-2-13b", {}, 13'716'198'400, 13.716, 13.202},
      {"olmo-2-32b", {}, 32'234'279'936, 32.234, 31.720},
      {"gpt-oss-120b", {}, 116'829'156'672, 5.712, 5.133},
      {"gpt-oss-120b", {"num_hidden_layers=24", "num_local_experts=32"}, 20'914'757'184, 4.187, 3.608},
      {"gpt3-175b", {}, 174'615'846'912, 174.616, 173.962},
      {"megatron-22b", {}, 22'074'273'792, 22.074, 21.747},
      {"megatron-530b", {}, 529'600'819'200, 529.601, 528.510},
      {"megatron-1t", {}, 1'008'038'758'400, 1008.039, 1006.676},
  };
  return rows;
}

TEST(CountsTest, TotalsArePublishedOnesToTheDigit) {
  for (const Published& row : published()) {
    const Model model = model_of(row.model, row.overrides);
    const ModelSize size = model_size(model);
    EXPECT_EQ(size.total, row.total) << row.model;
    // Half a unit in the last published digit.
    const double digit = row.model == "deepseek-v3-baseline-229b" ? 5e-3 : 5.1e-4;
    EXPECT_NEAR(static_cast<double>(size.activated) / 1e9, row.activated_billion, digit) << row.model;
    EXPECT_NEAR(static_cast<double>(size.activated - size.embedding) / 1e9, row.without_embedding_billion, digit) << row.model;
  }
}

// Families without a file here, by hand.
Model by_hand(std::int64_t hidden, std::int64_t layers, std::int64_t heads, std::int64_t vocabulary) {
  Model m;
  m.hidden_size = hidden;
  m.num_hidden_layers = layers;
  m.num_attention_heads = heads;
  m.vocab_size = vocabulary;
  m.num_key_value_heads = 8;
  m.head_dim = 128;
  m.moe_layers.assign(static_cast<std::size_t>(layers), false);
  return m;
}

Model llama4(std::int64_t experts, std::int64_t every) {
  Model m = by_hand(5120, 48, 40, 202048);
  m.intermediate_size = 16384;
  m.moe = MixtureOfExperts{experts, 1, 8192, 8192};
  for (std::size_t i = 0; i < m.moe_layers.size(); ++i) m.moe_layers[i] = (i + 1) % static_cast<std::size_t>(every) == 0;
  return m;
}

Model glm45(std::int64_t hidden, std::int64_t layers, std::int64_t dense, const MixtureOfExperts& moe) {
  Model m = by_hand(hidden, layers, 96, 151552);
  m.attention_bias = true;
  m.qk_norm = moe.n_routed_experts == 160;  // not in GLM-4.5-Air
  m.moe = moe;
  for (std::size_t i = static_cast<std::size_t>(dense); i < m.moe_layers.size(); ++i) m.moe_layers[i] = true;
  return m;
}

TEST(CountsTest, TotalsOfFamiliesByHand) {
  EXPECT_EQ(model_size(llama4(16, 1)).total, 107'769'861'120);   // Scout
  EXPECT_EQ(model_size(llama4(128, 2)).total, 400'711'848'960);  // Maverick
  Model glm = glm45(5120, 92, 3,
                    MixtureOfExperts{.n_routed_experts = 160,
                                     .num_experts_per_tok = 8,
                                     .moe_intermediate_size = 1536,
                                     .shared_intermediate_size = 1536,
                                     .correction_bias = true});
  glm.intermediate_size = 12288;
  EXPECT_EQ(model_size(glm).total, 352'797'829'024);
  Model air = glm45(4096, 46, 1,
                    MixtureOfExperts{.n_routed_experts = 128,
                                     .num_experts_per_tok = 8,
                                     .moe_intermediate_size = 1408,
                                     .shared_intermediate_size = 1408,
                                     .correction_bias = true});
  air.intermediate_size = 10944;
  EXPECT_EQ(model_size(air).total, 106'852'251'264);
  Model olmoe = by_hand(2048, 16, 16, 50304);
  olmoe.num_key_value_heads = 16;
  olmoe.qk_norm = olmoe.qk_norm_full_width = true;
  olmoe.moe = MixtureOfExperts{64, 8, 1024};
  olmoe.moe_layers.assign(16, true);
  EXPECT_EQ(model_size(olmoe).total, 6'919'161'856);
  EXPECT_NEAR(static_cast<double>(model_size(olmoe).activated), 1.282e9, 0.5e6);
  Model qwen = by_hand(5120, 64, 64, 151936);
  qwen.intermediate_size = 25600;
  qwen.qk_norm = true;
  EXPECT_EQ(model_size(qwen).total, 32'762'123'264);  // Qwen3-32B
}

TEST(CountsTest, PartsOfADeepSeekV3Layer) {
  const Model v3 = model_of("deepseek-v3");
  const LayerParameters moe = layer_parameters(v3, true), dense = layer_parameters(v3, false);
  EXPECT_EQ(moe.attention_matrices + moe.attention_vectors, 187'107'328);
  EXPECT_EQ(moe.attention_vectors, 2048);
  EXPECT_EQ(moe.one_routed_expert, 44'040'192);
  EXPECT_EQ(moe.routed_experts, 11'274'289'152);
  EXPECT_EQ(moe.shared_experts, 44'040'192);
  EXPECT_EQ(moe.router, 7168 * 256 + 256);
  EXPECT_EQ(moe.routed_experts + moe.shared_experts + moe.router, 11'320'164'608);
  EXPECT_EQ(moe.norms, 2 * 7168);
  EXPECT_EQ(moe.dense_ffn, 0);
  EXPECT_EQ(3 * dense.dense_ffn, 1'189'085'184);
  EXPECT_EQ(dense.routed_experts + dense.router + dense.shared_experts, 0);
  EXPECT_EQ(moe.total() - moe.activated(8), std::int64_t{248} * 44'040'192);
  const ModelSize size = model_size(v3);
  EXPECT_EQ(size.embedding, 926'679'040);
  EXPECT_EQ(size.head, 926'679'040);
  EXPECT_NEAR(static_cast<double>(size.mtp), 11.610e9, 0.5e6);
}

TEST(CountsTest, EveryTrainedVectorCounts) {
  Model m = by_hand(64, 1, 4, 100);
  m.num_key_value_heads = 2;
  m.head_dim = 16;
  m.intermediate_size = 128;
  const auto grows_by = [&m](auto change) {
    Model changed = m;
    change(changed);
    return model_size(changed).total - model_size(m).total;
  };
  EXPECT_EQ(grows_by([](Model& c) { c.attention_bias = true; }), 64 + 2 * 32);
  EXPECT_EQ(grows_by([](Model& c) { c.attention_output_bias = true; }), 64);
  EXPECT_EQ(grows_by([](Model& c) { c.mlp_bias = true; }), 2 * 128 + 64);
  EXPECT_EQ(grows_by([](Model& c) { c.qk_norm = true; }), 2 * 16);
  EXPECT_EQ(grows_by([](Model& c) { c.qk_norm = c.qk_norm_full_width = true; }), 64 + 32);
  EXPECT_EQ(grows_by([](Model& c) { c.attention_sinks = true; }), 4);
  EXPECT_EQ(grows_by([](Model& c) { c.normalisation = Normalisation::layer_norm; }), 3 * 64);
  EXPECT_EQ(grows_by([](Model& c) { c.norm_weights = false; }), -3 * 64);
  EXPECT_EQ(grows_by([](Model& c) { c.tie_word_embeddings = true; }), -6400);
  EXPECT_EQ(grows_by([](Model& c) { c.activation = Activation::gelu; }), -64 * 128);
  EXPECT_EQ(grows_by([](Model& c) { c.num_nextn_predict_layers = 1; }), 0);
  EXPECT_EQ(grows_by([](Model& c) {
              c.position_encoding = PositionEncoding::learned;
              c.max_position_embeddings = 32;
            }),
            32 * 64);
  m.moe = MixtureOfExperts{.n_routed_experts = 8, .num_experts_per_tok = 2, .moe_intermediate_size = 16, .shared_intermediate_size = 16};
  m.moe_layers = {true};
  EXPECT_EQ(grows_by([](Model& c) { c.moe->shared_gate = true; }), 64);
  EXPECT_EQ(grows_by([](Model& c) { c.moe->correction_bias = true; }), 8);
  EXPECT_EQ(grows_by([](Model& c) { c.moe->router_bias = true; }), 8);
  EXPECT_EQ(grows_by([](Model& c) { c.moe->expert_bias = true; }), 8 * (2 * 16 + 64));
}

TEST(CountsTest, FlopsOfDeepSeekV3) {
  const Model v3 = model_of("deepseek-v3");
  const TokenFlops flops = flops_per_token(v3, 4096);
  // models.md section 3: MLA without its norms, three dense layers, k + 1 experts and the gate in 58 layers, the head.
  const double linear = 61 * (187'107'328. - 2'048) + 1'189'085'184. + 58 * (9 * 44'040'192. + 7168 * 256) + 926'679'040.;
  const double half_attention = 6.0 * 61 * 2048 * 128 * (192 + 128);
  EXPECT_DOUBLE_EQ(flops.causal.value(), 6 * linear + half_attention);         // 250.45e9
  EXPECT_DOUBLE_EQ(flops.noncausal.value(), 6 * linear + 2 * half_attention);  // 281.15e9
  EXPECT_NEAR(flops.causal.value(), 250.5e9, 0.1e9);
  EXPECT_NEAR(flops.noncausal.value(), 281.2e9, 0.1e9);
  EXPECT_NEAR(flops.mtp.value(), 10.2e9, 0.05e9);
  // Megatron-Bridge's own figures: 961 TFLOP/s at 3848 tokens/s without MTP, 1635 at 6288 with it.
  EXPECT_NEAR(flops.causal.value(), 961e12 / 3848, 0.005 * 250e9);
  EXPECT_NEAR((flops.causal + flops.mtp).value(), 1635e12 / 6288, 0.005 * 260e9);
}

TEST(CountsTest, FlopsOfDenseModelsAreMegatronsFormula) {
  // 72 B s L h^2 (1 + s / 6h + V / 12Lh) per token, attention over the full matrix (Narayanan et al. 2021, section 5.1).
  const Model gpt3 = model_of("gpt3-175b");
  const double h = 12288, layers = 96, s = 2048, v = 51200;
  EXPECT_NEAR(flops_per_token(gpt3, 2048).noncausal.value() / (72 * layers * h * h * (1 + s / (6 * h) + v / (12 * layers * h))), 1, 1e-12);
}

TEST(CountsTest, AWindowBoundsTheKeys) {
  Model m = by_hand(64, 2, 4, 100);
  m.intermediate_size = 128;
  const TokenFlops full = flops_per_token(m, 1024);
  m.sliding_window = {0, 1024};
  EXPECT_EQ(flops_per_token(m, 1024).causal, full.causal);
  m.sliding_window = {0, 4096};
  EXPECT_EQ(flops_per_token(m, 1024).noncausal, full.noncausal);
  m.sliding_window = {0, 256};
  const double channels = 6.0 * 4 * (128 + 128);
  EXPECT_DOUBLE_EQ((full.noncausal - flops_per_token(m, 1024).noncausal).value(), channels * (1024 - 256));
  EXPECT_DOUBLE_EQ((full.causal - flops_per_token(m, 1024).causal).value(), channels * (512 - (256 - 32)));
}

TEST(CountsTest, MultiTokenPredictionStaysApart) {
  Model v3 = model_of("deepseek-v3");
  const TokenFlops with = flops_per_token(v3, 4096);
  v3.num_nextn_predict_layers = 0;
  const TokenFlops without = flops_per_token(v3, 4096);
  EXPECT_EQ(with.causal, without.causal);
  EXPECT_EQ(with.noncausal, without.noncausal);
  EXPECT_EQ(without.mtp, Flops{0});
  EXPECT_EQ(model_size(v3).mtp, 0);
}

TEST(CountsTest, TiedHeadsCostArithmeticButNoParameters) {
  Model m = by_hand(64, 1, 4, 100);
  m.intermediate_size = 128;
  const TokenFlops untied = flops_per_token(m, 128);
  m.tie_word_embeddings = true;
  EXPECT_EQ(flops_per_token(m, 128).causal, untied.causal);
  EXPECT_EQ(model_size(m).head, 0);
  EXPECT_THROW(layer_parameters(m, true), InternalError);
}

}  // namespace
}  // namespace trillion::counts_test
