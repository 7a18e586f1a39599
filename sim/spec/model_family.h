// Hugging Face model families: what the keys of a config.json mean in each, and what its modelling code does when one is left
// out. Source of every rule: the family's configuration_*.py and modeling_*.py in huggingface/transformers, or the remote code
// beside the weights (DeepSeek, Kimi). Internal to load_model.
//
// | model_type              | what is special                                                                             |
// | llama, mistral          | attention_bias and mlp_bias add biases; no num_key_value_heads: one per head                |
// | qwen2                   | biases on q, k, v; a window only with use_sliding_window                                    |
// | qwen3, qwen3_moe        | queries and keys normalised per head                                                        |
// | qwen2_moe, qwen3_moe    | MoE every decoder_sparse_step layers but mlp_only_layers; Qwen2: gated shared expert        |
// | mixtral                 | intermediate_size is the expert's; every layer MoE                                          |
// | deepseek                | DeepSeekMoE: plain attention, shared experts, first_k_dense_replace, moe_layer_freq         |
// | deepseek_v2, _v3, kimi_k2 | latent attention; noaux_tc: sigmoid gate, correction bias, groups scored by two experts   |
// | olmo, olmo2, olmoe      | OLMo: norms without weights; OLMo-2, OLMoE: queries and keys normalised over the full width |
// | gpt_oss                 | biases everywhere, attention sinks, every other layer a 128-token window                    |
// | glm4_moe                | like DeepSeek-V3's experts on grouped-query attention                                       |
// | llama4, llama4_text     | MoE every interleave_moe_layer_step layers, sigmoid gate, one shared expert                 |
// | nemotron                | squared ReLU, LayerNorm                                                                     |
// | gpt2, gpt_neox          | GPT-2/3: n_embd, n_layer, n_head, n_inner, n_positions; tied embeddings, learned positions  |
#pragma once

#include <array>
#include <string_view>

#include "sim/spec/model.h"
#include "sim/spec/yaml_reader.h"

namespace trillion {

enum class ModelFamily {
  llama,
  mistral,
  qwen2,
  qwen3,
  qwen2_moe,
  qwen3_moe,
  mixtral,
  deepseek,
  deepseek_v2,
  deepseek_v3,
  kimi_k2,
  olmo,
  olmo2,
  olmoe,
  gpt_oss,
  glm4_moe,
  llama4,
  llama4_text,
  nemotron,
  gpt2,
  gpt_neox,
};
inline constexpr std::array<std::string_view, 21> kModelFamilyNames = {
    "llama", "mistral", "qwen2", "qwen3",   "qwen2_moe", "qwen3_moe", "mixtral",     "deepseek", "deepseek_v2", "deepseek_v3", "kimi_k2",
    "olmo",  "olmo2",   "olmoe", "gpt_oss", "glm4_moe",  "llama4",    "llama4_text", "nemotron", "gpt2",        "gpt_neox"};

// Fills everything but name, model_type and assumed.
void read_family(ModelFamily family, YamlReader& reader, Model& model);

// Declares the keys that no family's cost depends on.
void ignore_costless_keys(YamlReader& reader);

}  // namespace trillion
