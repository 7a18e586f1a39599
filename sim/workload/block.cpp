#include "sim/workload/block.h"

#include <utility>

#include "sim/base/error.h"
#include "sim/workload/counts.h"
#include "sim/workload/experts.h"
#include "sim/workload/passes.h"

namespace trillion {

namespace {

void append(Operations& to, const Operations& from) { to.insert(to.end(), from.begin(), from.end()); }

void append(std::vector<SavedTensor>& to, const std::vector<SavedTensor>& from) { to.insert(to.end(), from.begin(), from.end()); }

Passes attention(const BlockContext& c) { return c.model.mla ? latent_attention(c) : grouped_query_attention(c); }

// This rank's share of a decoder layer's parameters: matrices are split over the tensor-parallel group, vectors are not.
BlockParameters layer_share(const BlockContext& c, bool moe_layer) {
  const LayerParameters p = layer_parameters(c.model, moe_layer);
  const double tensor = static_cast<double>(c.plan.tensor_parallel);
  double attention_split = static_cast<double>(p.attention_matrices), attention_whole = 0;
  if (c.model.mla) {
    // The projections down to the latents are on every tensor-parallel rank.
    const double down =
        static_cast<double>(c.model.hidden_size) *
        static_cast<double>(c.model.mla->q_lora_rank.value_or(0) + c.model.mla->kv_lora_rank + c.model.mla->qk_rope_head_dim);
    attention_whole = down;
    attention_split -= down;
  }
  BlockParameters share;
  share.dense = attention_split / tensor + attention_whole + static_cast<double>(p.attention_vectors + p.norms + p.router) +
                static_cast<double>(p.dense_ffn + p.shared_experts) / tensor;
  share.expert = static_cast<double>(p.routed_experts) / static_cast<double>(c.plan.expert_parallel * c.plan.expert_tensor_parallel);
  return share;
}

// With plan.recompute: layer only the block's input is kept, and the backward pass starts by running the forward pass again.
void recompute_everything(Block& b, const BlockContext& c) {
  append(b.recompute, b.before_exchange);
  if (b.exchanges.dispatch) b.recompute.push_back(*b.exchanges.dispatch);
  append(b.recompute, b.experts);
  for (Operation& op : b.recompute) {
    op.label += " again";
    if (!is_communication(op.category)) op.category = Category::recompute;
  }
  b.saved = {{"layer input", Sizes(c).residual()}};
}

void add_decoder_layer(Block& b, const BlockContext& c, bool moe_layer) {
  const Passes a = attention(c);
  append(b.before_exchange, a.forward);
  append(b.saved, a.saved);
  if (moe_layer) {
    const Passes g = gate(c), f = routed_feed_forward(c);
    append(b.before_exchange, g.forward);
    b.experts = f.forward;
    b.experts_backward = f.backward;
    append(b.before_exchange_backward, g.backward);
    b.experts_weight = f.weight;
    append(b.saved, g.saved);
    append(b.saved, f.saved);
    b.exchanges = exchanges(c);
  } else {
    const Passes f = dense_feed_forward(c);
    b.experts = f.forward;
    b.experts_backward = f.backward;
    b.experts_weight = f.weight;
    append(b.saved, f.saved);
  }
  append(b.before_exchange_backward, a.backward);
  append(b.before_exchange_weight, a.weight);
  b.parameters = layer_share(c, moe_layer);
  if (c.plan.recomputes(RecomputeModule::layer)) recompute_everything(b, c);
}

void add_module(Block& b, const Passes& p) {
  append(b.before_exchange, p.forward);
  append(b.before_exchange_backward, p.backward);
  append(b.before_exchange_weight, p.weight);
  append(b.saved, p.saved);
}

}  // namespace

Block make_block(BlockKind kind, const BlockContext& c) {
  const ModelSize size = model_size(c.model);
  const double tensor = static_cast<double>(c.plan.tensor_parallel);
  const double hidden = static_cast<double>(c.model.hidden_size);
  // A tied head lives on the last stage as a copy of the embedding (Megatron-LM does the same and sums the two gradients).
  const double head = static_cast<double>(c.model.vocab_size) * hidden / tensor;
  const double norm = c.model.normalisation == Normalisation::layer_norm ? 2 * hidden : hidden;
  Block b;
  b.kind = kind;
  switch (kind) {
    case BlockKind::embedding:
      b.name = "embedding";
      add_module(b, embedding(c));
      b.parameters.dense = static_cast<double>(size.embedding) / tensor;
      break;
    case BlockKind::dense_layer:
    case BlockKind::moe_layer:
      b.name = kind == BlockKind::moe_layer ? "MoE layer" : "dense layer";
      add_decoder_layer(b, c, kind == BlockKind::moe_layer);
      break;
    case BlockKind::head:
      b.name = "head";
      add_module(b, output_head(c));
      b.parameters.dense = (c.model.tie_word_embeddings && c.plan.pipeline_parallel == 1 ? 0 : head) + norm;
      break;
    case BlockKind::mtp_layer: {
      const Passes entry = mtp_projection(c);
      add_decoder_layer(b, c, c.model.moe && c.model.moe_layers.back());
      b.name = "MTP layer";
      b.before_exchange.insert(b.before_exchange.begin(), entry.forward.begin(), entry.forward.end());
      append(b.before_exchange_backward, entry.backward);
      append(b.before_exchange_weight, entry.weight);
      append(b.saved, entry.saved);
      b.parameters.dense += 2 * hidden * hidden + 2 * norm;
      break;
    }
    case BlockKind::mtp_head:
      b.name = "MTP head";
      add_module(b, output_head(c));
      b.parameters.dense = norm;
      break;
  }
  return b;
}

}  // namespace trillion
