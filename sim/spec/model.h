// What is trained: an architecture, no hardware, no layout. Field names are Hugging Face config.json's where it has one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/base/error.h"

namespace trillion {

// Multi-head latent attention (DeepSeek-V2 report, section 2.1).
struct LatentAttention {
  std::optional<std::int64_t> q_lora_rank;  // empty: queries are projected directly (DeepSeek-V2-Lite)
  std::int64_t kv_lora_rank = 0;
  std::int64_t qk_nope_head_dim = 0;
  std::int64_t qk_rope_head_dim = 0;
  std::int64_t v_head_dim = 0;
};

enum class GateScore { softmax, sigmoid };

struct MixtureOfExperts {
  std::int64_t n_routed_experts = 0;
  std::int64_t num_experts_per_tok = 0;
  std::int64_t moe_intermediate_size = 0;
  std::int64_t shared_intermediate_size = 0;  // all shared experts together; 0: none
  std::int64_t n_group = 1;                   // expert groups of the gate (DeepSeek: one per node)
  std::int64_t topk_group = 1;                // a token may use at most so many groups
  std::int64_t topk_group_scores = 1;         // a group is scored by the sum of its best so many affinities (V2: 1, V3: 2)
  GateScore score = GateScore::softmax;
  bool correction_bias = false;  // one bias per expert for loss-free balancing (counted as a parameter by the Hub)
  bool shared_gate = false;      // a scalar gate on the shared expert (Qwen2-MoE)
  bool expert_bias = false;      // biases in the expert matrices (gpt-oss)
  bool router_bias = false;
};

enum class Activation { swiglu, gelu, squared_relu };  // swiglu has three matrices, the others two
enum class Normalisation { rms_norm, layer_norm };
enum class PositionEncoding { rope, learned };

struct Model {
  std::string name;
  std::string model_type;  // Hugging Face family
  std::int64_t hidden_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;
  std::int64_t head_dim = 0;           // of plain attention; with MLA see `mla`
  std::int64_t intermediate_size = 0;  // of dense feed-forward layers
  std::int64_t vocab_size = 0;
  std::int64_t max_position_embeddings = 0;
  bool tie_word_embeddings = false;
  bool attention_bias = false;         // on q, k, v
  bool attention_output_bias = false;  // on o
  bool mlp_bias = false;
  bool qk_norm = false;             // normalisation of queries and keys per head
  bool qk_norm_full_width = false;  // ... over the whole projection (OLMo-2, OLMoE)
  bool attention_sinks = false;     // one learned logit per head (gpt-oss)
  Activation activation = Activation::swiglu;
  Normalisation normalisation = Normalisation::rms_norm;
  bool norm_weights = true;  // false: norms without trained weights (OLMo)
  PositionEncoding position_encoding = PositionEncoding::rope;
  std::optional<LatentAttention> mla;
  std::optional<MixtureOfExperts> moe;
  std::vector<bool> moe_layers;               // one per layer; all false without `moe`
  std::vector<std::int64_t> sliding_window;   // one per layer, tokens; 0: full attention; empty: all full
  std::int64_t num_nextn_predict_layers = 0;  // multi-token-prediction modules
  std::vector<std::string> assumed;           // sentences: what is not published and what was taken instead

  bool is_moe_layer(std::int64_t layer) const { return moe && moe_layers[static_cast<std::size_t>(layer)]; }
  // Channels of all heads together: queries (q), and the attention output before o_proj (o).
  std::int64_t q_width() const;
  std::int64_t o_width() const;

  // Every contradiction found, empty when none. The messages name the keys.
  std::vector<std::string> validate() const;
};

}  // namespace trillion
