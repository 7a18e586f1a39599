// How large a model is and how much arithmetic one token costs.
//
// Parameters: every trained number, once (tied embeddings once), as the Hub's safetensors totals count them; correction biases of
// loss-free balancing included. `activated` counts, per token, the experts it meets, and both the embedding and the head. Published
// "activated" figures differ in just that: for DeepSeek-V3 ours is 37.55B, without the input embedding, which is a lookup and
// costs no FLOPs, 36.63B; the report says 37B, README_WEIGHTS 36.7B.
//
//   attention   plain: h q + 2 h kv + o h      q = heads * d, kv = kv_heads * d, o = q          (biases, qk norms, sinks: vectors)
//               MLA:   h q_lora + q_lora q + h (kv_lora + rope) + kv_lora heads (nope + v) + heads v h     (2 norms: vectors)
//                      (h q instead of the first two without q_lora; DeepSeek-V2 report, section 2.1 and appendix B)
//   FFN         3 h f gated (SwiGLU), 2 h f otherwise; an expert is the same with its own f
//   MoE layer   experts, shared experts, gate matrix h E (+ E correction bias)
//   norms       2 h a layer and h at the end; twice that with LayerNorm's biases
//   MTP module  a decoder layer (MoE as the last one is), a projection 2h h of both inputs, three norms; embedding and head are
//               the main model's (DeepSeek-V3 report, section 2.2)
//
// FLOPs per token, forward + backward, no recomputation (Chowdhery et al. 2022, appendix B, with the matrices really used):
//   linear      3 * 2 * (activated matrix parameters without the input embedding; head and router included)
//   attention   3 * 2 * layers * keys * heads * (qk_dim + v_dim), keys = s (full matrix) or s / 2 (causal)
// A sliding window w < s bounds the keys: w (full) or w - w^2 / 2s (causal, the first w queries see fewer). Multi-token-prediction
// modules count in their own field only: each runs its layer, its projection and the head again.
//
// Example, DeepSeek-V3 at 4096 tokens: 671 026 419 200 parameters, 250.45 GFLOP causal, 281.15 full, 10.2 in the MTP module.
#pragma once

#include <cstdint>

#include "sim/base/quantity.h"
#include "sim/spec/model.h"

namespace trillion {

// Parameters of the parts of one decoder layer. All exact.
struct LayerParameters {
  std::int64_t attention_matrices = 0, attention_vectors = 0;  // vectors: biases, norms inside attention, sinks
  std::int64_t norms = 0;                                      // of the layer itself
  std::int64_t dense_ffn = 0;                                  // dense feed-forward (0 in an MoE layer)
  std::int64_t router = 0;                                     // gate matrix and its biases
  std::int64_t shared_experts = 0;
  std::int64_t routed_experts = 0;  // all of them
  std::int64_t one_routed_expert = 0;

  std::int64_t total() const;
  std::int64_t activated(std::int64_t experts_per_token) const;
};

LayerParameters layer_parameters(const Model& model, bool moe_layer);

struct ModelSize {
  std::int64_t total = 0;
  std::int64_t activated = 0;
  std::int64_t embedding = 0;  // input embedding (and learned positions)
  std::int64_t head = 0;       // 0 when tied
  std::int64_t mtp = 0;        // multi-token-prediction modules: own parameters, shared embedding and head not counted
};
ModelSize model_size(const Model& model);

struct TokenFlops {
  Flops causal, noncausal, mtp;  // mtp: causal
};
TokenFlops flops_per_token(const Model& model, std::int64_t sequence_length);

}  // namespace trillion
