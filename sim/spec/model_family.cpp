#include "sim/spec/model_family.h"

#include <algorithm>
#include <string>

namespace trillion {

namespace {

// Layers to build tables for: validate() has not seen the figure yet.
std::size_t layer_count(const Model& m) { return static_cast<std::size_t>(std::clamp<std::int64_t>(m.num_hidden_layers, 0, 1 << 14)); }

void read_activation(YamlReader& r, Model& m, std::initializer_list<std::string_view> keys) {
  static constexpr std::array<std::string_view, 8> kNames = {"silu",  "swish",       "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh",
                                                             "relu2", "squared_relu"};
  const std::string key = r.spelling(keys);
  const std::string usual = m.activation == Activation::swiglu ? "silu" : m.activation == Activation::gelu ? "gelu" : "relu2";
  if (!r.has(key)) return r.ignore({*keys.begin()});
  enum class Name : std::size_t {};
  const auto name = kNames[static_cast<std::size_t>(r.choice<Name>(key, kNames))];
  const Activation activation = name == "silu" || name == "swish"           ? Activation::swiglu
                                : name == "relu2" || name == "squared_relu" ? Activation::squared_relu
                                                                            : Activation::gelu;
  // The number of matrices is the family's; another function of the same shape would cost the same, another shape would not.
  if (!r.failed(key) && activation != m.activation)
    r.problem(key, "'" + std::string(name) + "' is not modelled for this model_type; accepted is " + usual);
}

void read_shape(YamlReader& r, Model& m, bool tied) {
  m.hidden_size = r.integer("hidden_size");
  m.num_hidden_layers = r.integer("num_hidden_layers");
  m.num_attention_heads = r.integer("num_attention_heads");
  m.vocab_size = r.integer("vocab_size");
  m.max_position_embeddings = r.integer("max_position_embeddings", 0);
  m.tie_word_embeddings = r.boolean("tie_word_embeddings", tied);
  m.moe_layers.assign(layer_count(m), false);
  read_activation(r, m, {"hidden_act", "hidden_activation"});
}

// Plain attention. `kv_heads` and `head_dim` may be left out where the family's code says what that means.
void read_heads(YamlReader& r, Model& m, bool kv_heads_required) {
  if (kv_heads_required || r.has("num_key_value_heads")) {
    m.num_key_value_heads = r.integer("num_key_value_heads");
  } else {
    m.num_key_value_heads = r.integer("num_key_value_heads", m.num_attention_heads);
  }
  if (r.has("head_dim")) {
    m.head_dim = r.integer("head_dim");
    return;
  }
  m.head_dim = m.num_attention_heads > 0 ? m.hidden_size / m.num_attention_heads : 0;
  const bool whole = m.head_dim * m.num_attention_heads == m.hidden_size;
  const bool known = !r.failed("hidden_size") && !r.failed("num_attention_heads") && m.num_attention_heads > 0 && m.hidden_size > 0;
  if (known && !whole) {
    r.problem("num_attention_heads",
              std::to_string(m.num_attention_heads) + " does not divide hidden_size, " + std::to_string(m.hidden_size), "or give head_dim");
  }
  if (known && whole) r.integer("head_dim", m.head_dim);
  r.ignore({"head_dim"});
}

void read_dense_ffn(YamlReader& r, Model& m) { m.intermediate_size = r.integer("intermediate_size"); }

// Not needed when every layer is MoE, but written in the file.
void read_unused_dense_ffn(YamlReader& r, Model& m) {
  const bool dense = std::find(m.moe_layers.begin(), m.moe_layers.end(), false) != m.moe_layers.end();
  if (dense || r.has("intermediate_size")) m.intermediate_size = r.integer("intermediate_size");
  r.ignore({"intermediate_size"});
}

// One window for every layer, or layer by layer where layer_types says so.
void read_window(YamlReader& r, Model& m) {
  const std::int64_t window = r.integer("sliding_window", 0);
  const auto types = r.texts("layer_types");
  if (!types) {
    if (window > 0) m.sliding_window.assign(layer_count(m), window);
    return;
  }
  bool any = false;
  for (const std::string& type : *types) {
    const bool slides = type == "sliding_attention";
    if (!slides && type != "full_attention") {
      r.problem("layer_types", "'" + type + "' is not modelled; accepted are full_attention, sliding_attention");
      return;
    }
    any = any || slides;
    m.sliding_window.push_back(slides ? window : 0);
  }
  if (any && window == 0) r.problem("sliding_window", "is needed: layer_types has sliding_attention layers");
  if (types->size() != layer_count(m) && !r.failed("num_hidden_layers")) {
    r.problem("layer_types",
              "has " + std::to_string(types->size()) + " entries; num_hidden_layers is " + std::to_string(m.num_hidden_layers));
    m.sliding_window.clear();
  }
  if (!any) m.sliding_window.clear();
}

MixtureOfExperts read_experts(YamlReader& r) {
  MixtureOfExperts moe;
  moe.n_routed_experts = r.integer(r.spelling({"n_routed_experts", "num_experts", "num_local_experts"}));
  const std::string chosen = r.spelling({"num_experts_per_tok", "experts_per_token"});
  moe.num_experts_per_tok = r.integer(chosen);
  // gpt-oss writes both.
  if (chosen != "experts_per_token" && r.has("experts_per_token") && r.integer("experts_per_token") != moe.num_experts_per_tok) {
    r.problem("experts_per_token", "is not num_experts_per_tok, " + std::to_string(moe.num_experts_per_tok));
  }
  return moe;
}

void read_decoder(YamlReader& r, Model& m) {
  read_shape(r, m, false);
  read_heads(r, m, false);
  read_dense_ffn(r, m);
  m.attention_bias = m.attention_output_bias = r.boolean("attention_bias", false);
}

void read_llama(YamlReader& r, Model& m) {
  read_decoder(r, m);
  m.mlp_bias = r.boolean("mlp_bias", false);
}

void read_mistral(YamlReader& r, Model& m) {
  read_shape(r, m, false);
  read_heads(r, m, true);
  read_dense_ffn(r, m);
  read_window(r, m);
}

// Qwen files carry sliding_window but use it only when use_sliding_window says so, from layer max_window_layers on.
void read_qwen_window(YamlReader& r, Model& m) {
  const bool used = r.boolean("use_sliding_window", false);
  if (!used) return r.ignore({"sliding_window", "max_window_layers", "layer_types"});
  read_window(r, m);
  const std::int64_t first = r.integer("max_window_layers", 0);
  if (r.has("layer_types")) return;
  for (std::size_t i = 0; i < m.sliding_window.size() && static_cast<std::int64_t>(i) < first; ++i) m.sliding_window[i] = 0;
}

void read_qwen2(YamlReader& r, Model& m) {
  read_shape(r, m, false);
  read_heads(r, m, true);
  read_dense_ffn(r, m);
  m.attention_bias = true;
  read_qwen_window(r, m);
}

void read_qwen3(YamlReader& r, Model& m) {
  read_shape(r, m, false);
  read_heads(r, m, true);
  read_dense_ffn(r, m);
  m.qk_norm = true;
  m.attention_bias = m.attention_output_bias = r.boolean("attention_bias", false);
  read_qwen_window(r, m);
}

void read_qwen_moe(YamlReader& r, Model& m, bool third) {
  read_shape(r, m, false);
  read_heads(r, m, true);
  m.moe = read_experts(r);
  m.moe->moe_intermediate_size = r.integer("moe_intermediate_size");
  if (third) {
    m.qk_norm = true;
    m.attention_bias = m.attention_output_bias = r.boolean("attention_bias", false);
  } else {
    m.attention_bias = r.boolean("qkv_bias", true);
    m.moe->shared_intermediate_size = r.integer("shared_expert_intermediate_size");
    m.moe->shared_gate = true;
  }
  const std::int64_t step = r.integer("decoder_sparse_step", 1);
  if (step < 1) r.problem("decoder_sparse_step", "must be at least 1, found " + std::to_string(step));
  const auto dense = r.integers("mlp_only_layers").value_or(std::vector<std::int64_t>{});
  for (std::size_t i = 0; i < m.moe_layers.size() && step >= 1; ++i) {
    const auto layer = static_cast<std::int64_t>(i);
    m.moe_layers[i] = (layer + 1) % step == 0 && std::find(dense.begin(), dense.end(), layer) == dense.end();
  }
  read_unused_dense_ffn(r, m);
  read_qwen_window(r, m);
}

void read_mixtral(YamlReader& r, Model& m) {
  read_shape(r, m, false);
  read_heads(r, m, true);
  m.moe = read_experts(r);
  m.intermediate_size = m.moe->moe_intermediate_size = r.integer("intermediate_size");
  m.moe_layers.assign(layer_count(m), true);
  read_window(r, m);
}

// Experts of the DeepSeek kind: shared experts by count, dense layers first, then MoE every moe_layer_freq layers.
void read_deepseek_experts(YamlReader& r, Model& m) {
  m.moe = read_experts(r);
  m.moe->moe_intermediate_size = r.integer("moe_intermediate_size");
  const std::int64_t shared = r.integer("n_shared_experts", 0);
  if (shared < 0 || shared > 1 << 16) {
    r.problem("n_shared_experts", "must be between 0 and 65536, found " + std::to_string(shared));
  } else if (!r.failed("moe_intermediate_size") && m.moe->moe_intermediate_size < 1 << 24) {
    m.moe->shared_intermediate_size = shared * std::max<std::int64_t>(m.moe->moe_intermediate_size, 0);
  }
  const std::int64_t first = r.integer("first_k_dense_replace", 0);
  const std::int64_t every = r.integer("moe_layer_freq", 1);
  if (first < 0 || (first > m.num_hidden_layers && !r.failed("num_hidden_layers"))) {
    r.problem("first_k_dense_replace", "must be between 0 and num_hidden_layers, found " + std::to_string(first));
  }
  if (every < 1) r.problem("moe_layer_freq", "must be at least 1, found " + std::to_string(every));
  for (std::size_t i = 0; i < m.moe_layers.size() && every >= 1; ++i) {
    m.moe_layers[i] = static_cast<std::int64_t>(i) >= first && static_cast<std::int64_t>(i) % every == 0;
  }
}

void read_deepseek(YamlReader& r, Model& m) {
  read_decoder(r, m);
  read_deepseek_experts(r, m);
}

// How the gate chooses. greedy: the best experts of all; group_limited_greedy: of the best groups, a group scored by its best
// expert; noaux_tc: the same with a correction bias per expert and groups scored by their best num_experts_per_tok / topk_group
// (DeepSeek-V3 report, section 2.1.2; the Hub's code has 2 written into it, which is that for 8 experts of 4 groups).
void read_gate(YamlReader& r, MixtureOfExperts& moe, bool third) {
  enum class Method { greedy, group_limited_greedy, noaux_tc };
  static constexpr std::array<std::string_view, 3> kMethods = {"greedy", "group_limited_greedy", "noaux_tc"};
  static constexpr std::array<std::string_view, 2> kScores = {"softmax", "sigmoid"};
  const auto method = r.choice<Method>("topk_method", kMethods, third ? Method::noaux_tc : Method::greedy);
  moe.score = r.choice<GateScore>("scoring_func", kScores, third ? GateScore::sigmoid : GateScore::softmax);
  const std::int64_t groups = r.integer("n_group", 1), limit = r.integer("topk_group", 1);
  moe.correction_bias = method == Method::noaux_tc;
  if (method == Method::greedy) return;
  moe.n_group = groups;
  moe.topk_group = limit;
  if (method == Method::noaux_tc && limit >= 1 && groups >= 1) {
    moe.topk_group_scores =
        std::clamp(moe.num_experts_per_tok / limit, std::int64_t{1}, std::max<std::int64_t>(1, moe.n_routed_experts / groups));
  }
}

void read_latent_deepseek(YamlReader& r, Model& m, bool third) {
  read_shape(r, m, false);
  LatentAttention mla;
  // Present and null says "no query compression"; a file that leaves it out has probably lost a line.
  if (r.has("q_lora_rank") || r.node("q_lora_rank") == nullptr) mla.q_lora_rank = r.integer("q_lora_rank");
  r.ignore({"q_lora_rank"});
  mla.kv_lora_rank = r.integer("kv_lora_rank");
  mla.qk_nope_head_dim = r.integer("qk_nope_head_dim");
  mla.qk_rope_head_dim = r.integer("qk_rope_head_dim");
  mla.v_head_dim = r.integer("v_head_dim");
  m.mla = mla;
  m.num_key_value_heads = m.num_attention_heads;  // after up-projection; the file's figure says the same
  m.head_dim = mla.v_head_dim;
  r.ignore({"num_key_value_heads", "qk_head_dim", "head_dim"});
  if (r.boolean("attention_bias", false)) r.problem("attention_bias", "true is not modelled with latent attention");
  read_dense_ffn(r, m);
  read_deepseek_experts(r, m);
  read_gate(r, *m.moe, third);
  m.num_nextn_predict_layers = r.integer("num_nextn_predict_layers", 0);
}

void read_olmo(YamlReader& r, Model& m) {
  read_decoder(r, m);
  m.normalisation = Normalisation::layer_norm;
  m.norm_weights = false;
}

void read_olmo2(YamlReader& r, Model& m) {
  read_decoder(r, m);
  m.qk_norm = m.qk_norm_full_width = true;
}

void read_olmoe(YamlReader& r, Model& m) {
  read_shape(r, m, false);
  read_heads(r, m, false);
  m.attention_bias = m.attention_output_bias = r.boolean("attention_bias", false);
  m.qk_norm = m.qk_norm_full_width = true;
  m.moe = read_experts(r);
  m.intermediate_size = m.moe->moe_intermediate_size = r.integer("intermediate_size");
  m.moe_layers.assign(layer_count(m), true);
}

void read_gpt_oss(YamlReader& r, Model& m) {
  read_shape(r, m, false);
  read_heads(r, m, true);
  m.attention_bias = m.attention_output_bias = r.boolean("attention_bias", true);
  m.attention_sinks = true;
  m.moe = read_experts(r);
  m.intermediate_size = m.moe->moe_intermediate_size = r.integer("intermediate_size");
  m.moe->expert_bias = m.moe->router_bias = true;
  m.moe_layers.assign(layer_count(m), true);
  read_window(r, m);
  if (r.has("layer_types")) return;
  for (std::size_t i = 1; i < m.sliding_window.size(); i += 2) m.sliding_window[i] = 0;
}

void read_glm4_moe(YamlReader& r, Model& m) {
  read_shape(r, m, false);
  read_heads(r, m, true);
  m.attention_bias = r.boolean("attention_bias", false);
  m.qk_norm = r.boolean("use_qk_norm", false);
  read_dense_ffn(r, m);
  read_deepseek_experts(r, m);
  read_gate(r, *m.moe, true);
  m.num_nextn_predict_layers = r.integer("num_nextn_predict_layers", 0);
}

void read_llama4(YamlReader& r, Model& m) {
  read_shape(r, m, false);
  read_heads(r, m, true);
  m.attention_bias = m.attention_output_bias = r.boolean("attention_bias", false);
  m.moe = read_experts(r);
  m.moe->moe_intermediate_size = m.moe->shared_intermediate_size = r.integer("intermediate_size");
  m.moe->score = GateScore::sigmoid;
  const std::int64_t step = r.integer("interleave_moe_layer_step", 1);
  if (step < 1) r.problem("interleave_moe_layer_step", "must be at least 1, found " + std::to_string(step));
  for (std::size_t i = 0; i < m.moe_layers.size() && step >= 1; ++i) m.moe_layers[i] = (static_cast<std::int64_t>(i) + 1) % step == 0;
  m.intermediate_size = r.integer("intermediate_size_mlp");
  if (r.has("attention_chunk_size")) {
    const std::string chunk = std::to_string(r.integer("attention_chunk_size"));
    m.assumed.push_back("Attention in chunks of " + chunk + " tokens counts as full attention: the same up to that sequence length.");
  }
  // The file may name the MoE layers; the step already does. Its query-key norm has no weights.
  r.ignore({"attention_chunk_size", "moe_layers", "use_qk_norm", "for_llm_compressor", "no_rope_layers", "no_rope_layer_interval",
            "attn_scale", "floor_scale", "attn_temperature_tuning", "layer_types", "num_attention_chunks"});
}

void read_nemotron(YamlReader& r, Model& m) {
  m.activation = Activation::squared_relu;
  m.normalisation = Normalisation::layer_norm;
  read_llama(r, m);
}

void read_gpt_biases(Model& m) {
  m.normalisation = Normalisation::layer_norm;
  m.activation = Activation::gelu;
  m.attention_bias = m.attention_output_bias = m.mlp_bias = true;
}

void read_gpt2(YamlReader& r, Model& m) {
  read_gpt_biases(m);
  m.position_encoding = PositionEncoding::learned;
  m.hidden_size = r.integer(r.spelling({"n_embd", "hidden_size"}));
  m.num_hidden_layers = r.integer(r.spelling({"n_layer", "num_hidden_layers"}));
  m.num_attention_heads = r.integer(r.spelling({"n_head", "num_attention_heads"}));
  m.max_position_embeddings = r.integer(r.spelling({"n_positions", "max_position_embeddings"}));
  m.vocab_size = r.integer("vocab_size");
  m.tie_word_embeddings = r.boolean("tie_word_embeddings", true);
  const std::string inner = r.spelling({"n_inner", "intermediate_size"});
  m.intermediate_size = r.integer(inner, m.hidden_size < std::int64_t{1} << 40 ? 4 * m.hidden_size : 0);
  m.moe_layers.assign(layer_count(m), false);
  m.num_key_value_heads = m.num_attention_heads;
  m.head_dim = m.num_attention_heads > 0 ? m.hidden_size / m.num_attention_heads : 0;
  const bool known = m.hidden_size > 0 && m.num_attention_heads > 0;
  if (known && m.head_dim * m.num_attention_heads != m.hidden_size) {
    r.problem(r.spelling({"n_head", "num_attention_heads"}),
              std::to_string(m.num_attention_heads) + " does not divide the hidden size, " + std::to_string(m.hidden_size));
  }
  read_activation(r, m, {"activation_function", "hidden_act"});
}

void read_gpt_neox(YamlReader& r, Model& m) {
  read_gpt_biases(m);
  read_shape(r, m, false);
  read_heads(r, m, false);
  read_dense_ffn(r, m);
  m.attention_bias = m.attention_output_bias = r.boolean("attention_bias", true);
}

}  // namespace

void read_family(ModelFamily family, YamlReader& r, Model& m) {
  switch (family) {
    case ModelFamily::llama: return read_llama(r, m);
    case ModelFamily::mistral: return read_mistral(r, m);
    case ModelFamily::qwen2: return read_qwen2(r, m);
    case ModelFamily::qwen3: return read_qwen3(r, m);
    case ModelFamily::qwen2_moe: return read_qwen_moe(r, m, false);
    case ModelFamily::qwen3_moe: return read_qwen_moe(r, m, true);
    case ModelFamily::mixtral: return read_mixtral(r, m);
    case ModelFamily::deepseek: return read_deepseek(r, m);
    case ModelFamily::deepseek_v2: return read_latent_deepseek(r, m, false);
    case ModelFamily::deepseek_v3:
    case ModelFamily::kimi_k2: return read_latent_deepseek(r, m, true);
    case ModelFamily::olmo: return read_olmo(r, m);
    case ModelFamily::olmo2: return read_olmo2(r, m);
    case ModelFamily::olmoe: return read_olmoe(r, m);
    case ModelFamily::gpt_oss: return read_gpt_oss(r, m);
    case ModelFamily::glm4_moe: return read_glm4_moe(r, m);
    case ModelFamily::llama4:
    case ModelFamily::llama4_text: return read_llama4(r, m);
    case ModelFamily::nemotron: return read_nemotron(r, m);
    case ModelFamily::gpt2: return read_gpt2(r, m);
    case ModelFamily::gpt_neox: return read_gpt_neox(r, m);
  }
}

}  // namespace trillion
