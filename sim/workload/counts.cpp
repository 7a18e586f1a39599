#include "sim/workload/counts.h"

#include <algorithm>

#include "sim/base/error.h"

namespace trillion {
namespace {

// A norm's trained numbers over `width` channels.
std::int64_t norm(const Model& m, std::int64_t width) {
  if (!m.norm_weights) return 0;
  return m.normalisation == Normalisation::layer_norm ? 2 * width : width;
}

std::int64_t kv_width(const Model& m) { return m.num_key_value_heads * m.head_dim; }

std::int64_t attention_matrices(const Model& m) {
  const std::int64_t h = m.hidden_size;
  if (!m.mla) return h * m.q_width() + 2 * h * kv_width(m) + m.o_width() * h;
  const LatentAttention& mla = *m.mla;
  const std::int64_t queries = mla.q_lora_rank ? *mla.q_lora_rank * (h + m.q_width()) : h * m.q_width();
  const std::int64_t down = h * (mla.kv_lora_rank + mla.qk_rope_head_dim);
  const std::int64_t up = mla.kv_lora_rank * m.num_attention_heads * (mla.qk_nope_head_dim + mla.v_head_dim);
  return queries + down + up + m.o_width() * h;
}

std::int64_t attention_vectors(const Model& m) {
  if (m.mla) return norm(m, m.mla->q_lora_rank.value_or(0)) + norm(m, m.mla->kv_lora_rank);
  std::int64_t count = 0;
  if (m.attention_bias) count += m.q_width() + 2 * kv_width(m);
  if (m.attention_output_bias) count += m.hidden_size;
  if (m.qk_norm) count += m.qk_norm_full_width ? norm(m, m.q_width()) + norm(m, kv_width(m)) : 2 * norm(m, m.head_dim);
  if (m.attention_sinks) count += m.num_attention_heads;
  return count;
}

std::int64_t ffn_matrices(const Model& m, std::int64_t width) {
  return (m.activation == Activation::swiglu ? 3 : 2) * m.hidden_size * width;
}

std::int64_t ffn_biases(const Model& m, std::int64_t width) { return (m.activation == Activation::swiglu ? 2 : 1) * width + m.hidden_size; }

// Matrices that one token passes through in a layer: what its linear FLOPs are proportional to.
std::int64_t activated_matrices(const Model& m, bool moe_layer) {
  const std::int64_t attention = attention_matrices(m);
  if (!moe_layer) return attention + ffn_matrices(m, m.intermediate_size);
  const MixtureOfExperts& moe = *m.moe;
  const std::int64_t routed = moe.num_experts_per_tok * ffn_matrices(m, moe.moe_intermediate_size);
  const std::int64_t shared = ffn_matrices(m, moe.shared_intermediate_size) + (moe.shared_gate ? m.hidden_size : 0);
  return attention + routed + shared + m.hidden_size * moe.n_routed_experts;
}

bool mtp_is_moe(const Model& m) { return m.moe && !m.moe_layers.empty() && m.moe_layers.back(); }

// Keys that a query meets, on average.
struct Keys {
  double causal = 0, noncausal = 0;
};

Keys keys(std::int64_t sequence_length, std::int64_t window) {
  const auto s = static_cast<double>(sequence_length);
  const double w = window > 0 ? std::min(s, static_cast<double>(window)) : s;
  return {w - w * w / (2 * s), w};
}

// Both directions of a multiply and an add per matrix element and token.
constexpr double kFlopsPerMatrixElement = 3 * 2;

}  // namespace

std::int64_t LayerParameters::total() const {
  return attention_matrices + attention_vectors + norms + dense_ffn + router + shared_experts + routed_experts;
}

std::int64_t LayerParameters::activated(std::int64_t experts_per_token) const {
  return total() - routed_experts + experts_per_token * one_routed_expert;
}

LayerParameters layer_parameters(const Model& model, bool moe_layer) {
  CHECK(model.moe || !moe_layer, "an MoE layer of a model without experts");
  LayerParameters p;
  p.attention_matrices = attention_matrices(model);
  p.attention_vectors = attention_vectors(model);
  p.norms = 2 * norm(model, model.hidden_size);
  if (!moe_layer) {
    p.dense_ffn = ffn_matrices(model, model.intermediate_size) + (model.mlp_bias ? ffn_biases(model, model.intermediate_size) : 0);
    return p;
  }
  const MixtureOfExperts& moe = *model.moe;
  const std::int64_t experts = moe.n_routed_experts;
  p.router = model.hidden_size * experts + (moe.correction_bias ? experts : 0) + (moe.router_bias ? experts : 0);
  p.shared_experts = ffn_matrices(model, moe.shared_intermediate_size) + (moe.shared_gate ? model.hidden_size : 0);
  p.one_routed_expert =
      ffn_matrices(model, moe.moe_intermediate_size) + (moe.expert_bias ? ffn_biases(model, moe.moe_intermediate_size) : 0);
  p.routed_experts = experts * p.one_routed_expert;
  return p;
}

ModelSize model_size(const Model& model) {
  const std::int64_t h = model.hidden_size, experts_per_token = model.moe ? model.moe->num_experts_per_tok : 0;
  const LayerParameters dense = layer_parameters(model, false);
  const LayerParameters moe = model.moe ? layer_parameters(model, true) : LayerParameters{};
  ModelSize size;
  size.embedding = model.vocab_size * h;
  if (model.position_encoding == PositionEncoding::learned) size.embedding += model.max_position_embeddings * h;
  size.head = model.tie_word_embeddings ? 0 : model.vocab_size * h;
  size.total = size.activated = size.embedding + size.head + norm(model, h);
  for (std::int64_t layer = 0; layer < model.num_hidden_layers; ++layer) {
    const LayerParameters& p = model.is_moe_layer(layer) ? moe : dense;
    size.total += p.total();
    size.activated += p.activated(experts_per_token);
  }
  const std::int64_t module = (mtp_is_moe(model) ? moe : dense).total() + 2 * h * h + 3 * norm(model, h);
  size.mtp = model.num_nextn_predict_layers * module;
  return size;
}

TokenFlops flops_per_token(const Model& model, std::int64_t sequence_length) {
  CHECK(sequence_length >= 1, "a sequence has at least one token");
  const std::int64_t head = model.vocab_size * model.hidden_size;
  const double channels = static_cast<double>(model.q_width() + model.o_width());  // heads * (qk_dim + v_dim)
  std::int64_t matrices = head;
  double causal = 0, noncausal = 0;
  for (std::int64_t layer = 0; layer < model.num_hidden_layers; ++layer) {
    matrices += activated_matrices(model, model.is_moe_layer(layer));
    const Keys seen = keys(sequence_length, model.sliding_window.empty() ? 0 : model.sliding_window[static_cast<std::size_t>(layer)]);
    causal += seen.causal * channels;
    noncausal += seen.noncausal * channels;
  }
  const std::int64_t mtp_matrices = activated_matrices(model, mtp_is_moe(model)) + 2 * model.hidden_size * model.hidden_size + head;
  const double mtp = static_cast<double>(mtp_matrices) + keys(sequence_length, 0).causal * channels;
  const auto linear = static_cast<double>(matrices);
  return {Flops{kFlopsPerMatrixElement * (linear + causal)}, Flops{kFlopsPerMatrixElement * (linear + noncausal)},
          Flops{kFlopsPerMatrixElement * static_cast<double>(model.num_nextn_predict_layers) * mtp}};
}

}  // namespace trillion
