#include "sim/spec/model.h"

#include <algorithm>

#include "sim/spec/problems.h"

namespace trillion {

namespace {

// Far beyond anything that was ever trained, and small enough that no product of a model's sizes overflows.
constexpr std::int64_t kMostChannels = 1 << 24;
constexpr std::int64_t kMostLayers = 1 << 14;
constexpr std::int64_t kMostExperts = 1 << 16;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 31;
constexpr double kMostParameters = 1e17;

void check_plain_attention(const Model& m, Problems& p) {
  const bool heads = p.within("num_attention_heads", m.num_attention_heads, 1, kMostChannels);
  p.within("head_dim", m.head_dim, 1, kMostChannels);
  if (p.within("num_key_value_heads", m.num_key_value_heads, 1, kMostChannels) && heads) {
    p.require(m.num_attention_heads % m.num_key_value_heads == 0, "num_key_value_heads",
              std::to_string(m.num_key_value_heads) + " does not divide num_attention_heads, " + std::to_string(m.num_attention_heads));
  }
}

void check_latent_attention(const Model& m, Problems& p) {
  p.within("num_attention_heads", m.num_attention_heads, 1, kMostChannels);
  if (m.mla->q_lora_rank) p.within("q_lora_rank", *m.mla->q_lora_rank, 1, kMostChannels);
  p.within("kv_lora_rank", m.mla->kv_lora_rank, 1, kMostChannels);
  p.within("qk_nope_head_dim", m.mla->qk_nope_head_dim, 1, kMostChannels);
  p.within("qk_rope_head_dim", m.mla->qk_rope_head_dim, 1, kMostChannels);
  p.within("v_head_dim", m.mla->v_head_dim, 1, kMostChannels);
}

void check_experts(const MixtureOfExperts& moe, Problems& p) {
  p.within("moe_intermediate_size", moe.moe_intermediate_size, 1, kMostChannels);
  p.within("shared_intermediate_size", moe.shared_intermediate_size, 0, kMostChannels);
  const bool experts = p.within("n_routed_experts", moe.n_routed_experts, 1, kMostExperts);
  const bool chosen = p.within("num_experts_per_tok", moe.num_experts_per_tok, 1, kMostExperts);
  if (experts && chosen) {
    p.require(moe.num_experts_per_tok <= moe.n_routed_experts, "num_experts_per_tok",
              std::to_string(moe.num_experts_per_tok) + " is more than n_routed_experts, " + std::to_string(moe.n_routed_experts));
  }
  const bool groups = p.within("n_group", moe.n_group, 1, kMostExperts);
  const bool divides =
      experts && groups &&
      p.require(moe.n_routed_experts % moe.n_group == 0, "n_group",
                std::to_string(moe.n_group) + " does not divide n_routed_experts, " + std::to_string(moe.n_routed_experts));
  const bool limited = p.within("topk_group", moe.topk_group, 1, kMostExperts) && groups &&
                       p.require(moe.topk_group <= moe.n_group, "topk_group",
                                 std::to_string(moe.topk_group) + " is more than n_group, " + std::to_string(moe.n_group));
  if (divides && limited && chosen) {
    const std::int64_t reachable = moe.topk_group * (moe.n_routed_experts / moe.n_group);
    p.require(moe.num_experts_per_tok <= reachable, "num_experts_per_tok",
              "topk_group of n_group groups hold " + std::to_string(reachable) + " experts, fewer than " +
                  std::to_string(moe.num_experts_per_tok));
  }
  p.within("topk_group_scores", moe.topk_group_scores, 1, kMostExperts);
}

double rough_parameters(const Model& m) {
  const auto d = [](std::int64_t value) { return static_cast<double>(value); };
  const double attention = 2.0 * d(m.hidden_size) * (d(m.q_width()) + d(m.o_width()));
  const double experts = m.moe ? 3.0 * d(m.hidden_size) * (d(m.moe->n_routed_experts) * d(m.moe->moe_intermediate_size)) : 0;
  const double dense = 3.0 * d(m.hidden_size) * d(m.intermediate_size);
  return d(m.num_hidden_layers) * (attention + dense + experts) + 2.0 * d(m.vocab_size) * d(m.hidden_size);
}

}  // namespace

std::int64_t Model::q_width() const { return num_attention_heads * (mla ? mla->qk_nope_head_dim + mla->qk_rope_head_dim : head_dim); }

std::int64_t Model::o_width() const { return num_attention_heads * (mla ? mla->v_head_dim : head_dim); }

std::vector<std::string> Model::validate() const {
  Problems p;
  const bool layers = p.within("num_hidden_layers", num_hidden_layers, 1, kMostLayers);
  p.within("hidden_size", hidden_size, 1, kMostChannels);
  p.within("vocab_size", vocab_size, 1, kMostTokens);
  p.within("max_position_embeddings", max_position_embeddings, position_encoding == PositionEncoding::learned ? 1 : 0, kMostTokens);
  p.within("num_nextn_predict_layers", num_nextn_predict_layers, 0, kMostLayers);
  if (mla) {
    check_latent_attention(*this, p);
  } else {
    check_plain_attention(*this, p);
  }
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(num_hidden_layers, 0));
  const bool dense_layer = std::find(moe_layers.begin(), moe_layers.end(), false) != moe_layers.end();
  p.within("intermediate_size", intermediate_size, dense_layer || !moe ? 1 : 0, kMostChannels);
  if (moe) check_experts(*moe, p);
  if (layers) {
    p.require(moe_layers.size() == count, "moe_layers", "must have one entry per layer");
    p.require(moe || std::find(moe_layers.begin(), moe_layers.end(), true) == moe_layers.end(), "moe_layers", "the model has no experts");
    if (p.require(sliding_window.empty() || sliding_window.size() == count, "sliding_window", "must have one entry per layer")) {
      for (const std::int64_t window : sliding_window) {
        if (!p.within("sliding_window", window, 0, kMostTokens)) break;
      }
    }
  }
  std::vector<std::string> found = p.take();
  if (found.empty() && !(rough_parameters(*this) <= kMostParameters)) found.emplace_back("the sizes multiply to more than 1e17 parameters");
  return found;
}

}  // namespace trillion
