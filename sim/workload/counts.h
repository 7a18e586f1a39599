// How large a model is and how much arithmetic one token costs.
//
// Parameters: every trained number, once (tied embeddings once). `activated` counts, per token, the experts it meets, and both
// the embedding and the head (Hugging Face's and DeepSeek's "37B activated" leave one of the two out; see README).
//
// FLOPs per token, forward + backward, no recomputation (Chowdhery et al. 2022, appendix B, with the matrices really used):
//   linear      3 * 2 * (activated matrix parameters without the input embedding; head and router included)
//   attention   3 * 2 * layers * keys * heads * (qk_dim + v_dim), keys = s (full matrix) or (s + 1) / 2 ~ s / 2 (causal)
// A sliding window bounds the keys. Multi-token-prediction modules count in their own field only.
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
  std::int64_t router = 0;                                     // gate matrix, correction bias
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
