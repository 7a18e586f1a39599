// Attention modules: multi-head latent attention and grouped-query attention.
#include <algorithm>
#include <utility>

#include "sim/workload/apart.h"
#include "sim/workload/context_attention.h"
#include "sim/workload/passes.h"
#include "sim/workload/unfused_attention.h"

namespace trillion {

namespace {

constexpr auto kElementwise = Category::norm_and_elementwise;
constexpr double kE5m6 = (1.5 + 4.0 / 128) / 2;  // 12 bits and a scale per 128 values, relative to BF16

// What the module's first kernels owe the backward pass, which runs it last.
struct Entry {
  Operations norm;
  EntryBackward tensor;
};

Entry enter(Passes& p, const BlockContext& c) {
  Entry entry;
  add_norm(p, c, "attention norm");
  entry.norm = std::exchange(p.backward, {});
  entry.tensor = add_tensor_entry(p, c, "attention", Sizes(c).linear_type);
  return entry;
}

void leave(Passes& p, const BlockContext& c) {
  add_tensor_exit(p, c, "attention", Sizes(c).linear_type);
  if (c.fuses_residual_with_norm) return;
  add_residual(p, c, "attention");
}

SavedTensor log_sum_exp(const Sizes& s, std::int64_t heads) {
  return {"attention log-sum-exp", Bytes{4.0 * static_cast<double>(s.tokens * heads)}};
}

// Multi-head latent attention on one rank: its linear layers and the tensors between them.
struct Latent {
  explicit Latent(const BlockContext& c);

  Linear linear(const char* name, std::int64_t in, std::int64_t out) const {
    return {name, s.tokens, in, out, Category::attention, s.linear_type};
  }
  // The layers from the residual stream to the queries' latent, or to the queries themselves.
  const Linear& q_entry() const { return low_rank_q ? q_down : q_up; }

  Sizes s;
  std::int64_t heads = 0, qk_dim = 0, v_dim = 0, rope_dim = 0, q_rank = 0, kv_rank = 0;
  bool low_rank_q = false;
  Linear q_down, kv_down, q_up, kv_up, o_projection;
  Bytes q_latent, kv_latent, q, kv, k_nope, q_rope, k_rope, o;  // k_rope: one for all heads
};

Latent::Latent(const BlockContext& c) : s(c) {
  const LatentAttention& mla = *c.model.mla;
  heads = c.model.num_attention_heads / s.tensor;
  qk_dim = mla.qk_nope_head_dim + mla.qk_rope_head_dim;
  v_dim = mla.v_head_dim;
  rope_dim = mla.qk_rope_head_dim;
  q_rank = mla.q_lora_rank.value_or(0);
  kv_rank = mla.kv_lora_rank;
  low_rank_q = mla.q_lora_rank.has_value();
  q_down = linear("q down", s.hidden, q_rank);
  kv_down = linear("kv down", s.hidden, kv_rank + rope_dim);
  q_up = linear(low_rank_q ? "q up" : "q projection", low_rank_q ? q_rank : s.hidden, heads * qk_dim);
  kv_up = linear("kv up", kv_rank, heads * (mla.qk_nope_head_dim + v_dim));
  o_projection = linear("o projection", heads * v_dim, s.hidden);
  q_latent = s.bf16(q_rank);
  kv_latent = s.bf16(kv_rank);
  q = s.bf16(heads * qk_dim);
  kv = s.bf16(kv_up.out);
  k_nope = s.bf16(heads * mla.qk_nope_head_dim);
  q_rope = s.bf16(heads * rope_dim);
  k_rope = s.bf16(rope_dim);
  o = s.bf16(heads * v_dim);
}

// From the latents to queries, keys and values: the forward pass runs it, and the backward pass again where plan.recompute says so.
Operations up_projection(const Latent& l) {
  Operations ops;
  if (l.low_rank_q) ops.push_back(memory_operation("q latent norm", kElementwise, MemoryKernel::rms_norm, l.q_latent, l.q_latent));
  ops.push_back(memory_operation("kv latent norm", kElementwise, MemoryKernel::rms_norm, l.kv_latent, l.kv_latent));
  if (l.low_rank_q) add_forward(ops, l.q_up);
  add_forward(ops, l.kv_up);
  ops.push_back(memory_operation("assemble keys", kElementwise, MemoryKernel::copy, l.k_nope, l.k_nope));
  ops.push_back(memory_operation("spread rotary key", kElementwise, MemoryKernel::copy, l.k_rope, l.q_rope));
  ops.push_back(memory_operation("rotary embedding", kElementwise, MemoryKernel::rope, l.q_rope, l.q_rope));
  return ops;
}

void add_latent_forward(Passes& p, const BlockContext& c, const Latent& l) {
  add_forward(p.forward, l.q_entry());
  add_forward(p.forward, l.kv_down);
  append(p.forward, up_projection(l));
  append(p.forward,
         c.runs_apart(UnfusedPart::attention) ? unfused_attention_forward(c) : core_forward(c, core_attention(c, l.qk_dim, l.v_dim)));
  // The FP8 recipe keeps the input of the output projection in E5M6 (DeepSeek-V3 report, section 3.3.3): 12 bits a value.
  if (l.s.fp8()) {
    p.forward.push_back(memory_operation("o keep as E5M6", Category::cast_and_quantize, MemoryKernel::cast_fp8, l.o, kE5m6 * l.o));
  }
  add_forward(p.forward, l.o_projection);
  leave(p, c);
}

// From the gradient of the module's output to those of queries, keys and values.
void add_latent_core_backward(Operations& ops, const BlockContext& c, const Latent& l) {
  if (l.s.fp8()) {
    ops.push_back(memory_operation("o restore from E5M6", Category::cast_and_quantize, MemoryKernel::cast_bf16, kE5m6 * l.o, l.o));
  }
  add_input_gradient(ops, l.o_projection);
  add_weight_operands(ops, l.o_projection);
  if (c.plan.recomputes(RecomputeModule::mla_up_projection)) {
    append(ops, again(up_projection(l)));
  }
  if (c.runs_apart(UnfusedPart::attention)) {
    append(ops, unfused_attention_backward(c));
    return;
  }
  const CoreAttention core = core_attention(c, l.qk_dim, l.v_dim);
  if (c.plan.recomputes(RecomputeModule::attention)) append(ops, again(core_forward(c, core)));
  append(ops, core_backward(c, core));
}

// From there through the projections and the latents to the module's input.
void add_latent_projections_backward(Operations& ops, const BlockContext& c, const Latent& l, const Entry& entry) {
  ops.push_back(memory_operation("rotary embedding backward", kElementwise, MemoryKernel::rope, l.q_rope, l.q_rope));
  if (l.low_rank_q) add_input_gradient(ops, l.q_up);
  ops.push_back(memory_operation("gather key and value gradients", kElementwise, MemoryKernel::copy, l.kv, l.kv));
  ops.push_back(memory_operation("sum rotary key gradients", kElementwise, MemoryKernel::add, l.q_rope, l.k_rope));
  add_input_gradient(ops, l.kv_up);
  add_weight_operands(ops, l.q_up);
  add_weight_operands(ops, l.kv_up);
  ops.push_back(memory_operation("kv latent norm backward", kElementwise, MemoryKernel::rms_norm_backward, 2 * l.kv_latent, l.kv_latent));
  if (l.low_rank_q) {
    ops.push_back(memory_operation("q latent norm backward", kElementwise, MemoryKernel::rms_norm_backward, 2 * l.q_latent, l.q_latent));
  }
  if (c.plan.recomputes(RecomputeModule::norm)) ops.push_back(entry.norm.front());
  append(ops, entry.tensor.before);
  add_input_gradient(ops, l.kv_down);
  add_weight_operands(ops, l.kv_down);
  add_input_gradient(ops, l.q_entry());
  if (l.low_rank_q) add_weight_operands(ops, l.q_down);
  ops.push_back(memory_operation("attention add gradients", kElementwise, MemoryKernel::add, 2 * l.s.residual(), l.s.residual()));
  append(ops, entry.tensor.after);
  add_norm_backward(ops, c, entry.norm.back());
}

void add_latent_saved(Passes& p, const BlockContext& c, const Latent& l) {
  p.saved.push_back({"MLA latents", l.s.bf16(l.q_rank + l.kv_rank + l.rope_dim)});
  if (!c.plan.recomputes(RecomputeModule::mla_up_projection)) {
    // Normalised latents, queries, keys (rotary part spread over the heads) and values.
    p.saved.push_back({"MLA up-projections", l.q_latent + l.kv_latent + 2 * l.q + l.o});
  }
  p.saved.push_back({"attention output", l.s.fp8() ? kE5m6 * l.o : l.o});
  if (c.runs_apart(UnfusedPart::attention)) {
    for (const SavedTensor& tensor : unfused_attention_saved(c)) p.saved.push_back(tensor);
  } else {
    p.saved.push_back(log_sum_exp(l.s, l.heads));
  }
}

// Grouped-query attention on one rank.
struct Grouped {
  explicit Grouped(const BlockContext& c)
      : s(c),
        heads(c.model.num_attention_heads / s.tensor),
        kv_heads(std::max<std::int64_t>(1, c.model.num_key_value_heads / s.tensor)),
        dim(c.model.head_dim),
        qkv{"qkv", s.tokens, s.hidden, (heads + 2 * kv_heads) * dim, Category::attention, s.linear_type},
        o_projection{"o projection", s.tokens, heads * dim, s.hidden, Category::attention, s.linear_type},
        q(s.bf16(heads * dim)),
        kv(s.bf16(kv_heads * dim)),
        rotated(c.model.position_encoding == PositionEncoding::rope ? q + kv : Bytes{}) {
    qkv.own_input = o_projection.own_gradient = s.shard();
  }

  Sizes s;
  std::int64_t heads, kv_heads, dim;
  Linear qkv, o_projection;
  Bytes q, kv, rotated;  // kv: keys alone, and values alone; the output is as large as q
};

void add_grouped_forward(Passes& p, const BlockContext& c, const Grouped& g) {
  const Bytes normed = g.q + g.kv, joint = g.q + 2 * g.kv;
  const Layouts moves = layouts(c, g.q, g.kv);
  add_forward(p.forward, g.qkv);
  if (c.runs_apart(UnfusedPart::bias) && c.model.attention_bias)
    p.forward.push_back(memory_operation("qkv bias", kElementwise, MemoryKernel::add, joint, joint));
  append(p.forward, moves.before);
  if (c.model.qk_norm) p.forward.push_back(memory_operation("q and k norm", kElementwise, MemoryKernel::rms_norm, normed, normed));
  if (g.rotated.value() > 0) {
    p.forward.push_back(memory_operation("rotary embedding", kElementwise, MemoryKernel::rope, g.rotated, g.rotated));
  }
  append(p.forward, c.runs_apart(UnfusedPart::attention) ? unfused_attention_forward(c) : core_forward(c, core_attention(c, g.dim, g.dim)));
  append(p.forward, moves.after);
  add_forward(p.forward, g.o_projection);
  leave(p, c);
}

void add_grouped_backward(Operations& ops, const BlockContext& c, const Grouped& g, const Entry& entry) {
  const Bytes normed = g.q + g.kv;
  add_input_gradient(ops, g.o_projection);
  if (c.runs_apart(UnfusedPart::attention)) {
    append(ops, unfused_attention_backward(c));
  } else {
    const CoreAttention core = core_attention(c, g.dim, g.dim);
    if (c.plan.recomputes(RecomputeModule::attention)) append(ops, again(core_forward(c, core)));
    append(ops, core_backward(c, core));
  }
  if (g.rotated.value() > 0) {
    ops.push_back(memory_operation("rotary embedding backward", kElementwise, MemoryKernel::rope, g.rotated, g.rotated));
  }
  if (c.model.qk_norm) {
    ops.push_back(memory_operation("q and k norm backward", kElementwise, MemoryKernel::rms_norm_backward, 2 * normed, normed));
  }
  append(ops, layouts(c, g.q, g.kv).backward);
  if (c.plan.recomputes(RecomputeModule::norm)) ops.push_back(entry.norm.front());
  append(ops, entry.tensor.before);
  add_input_gradient(ops, g.qkv);
  append(ops, entry.tensor.after);
  add_norm_backward(ops, c, entry.norm.back());
}

}  // namespace

Passes latent_attention(const BlockContext& c) {
  const Latent l(c);
  Passes p;
  const Entry entry = enter(p, c);
  add_latent_forward(p, c, l);
  add_latent_core_backward(p.backward, c, l);
  add_latent_projections_backward(p.backward, c, l, entry);
  for (const Linear& layer : {l.o_projection, l.q_up, l.kv_up, l.kv_down}) add_weight_gradient(p.weight, c, layer);
  if (l.low_rank_q) add_weight_gradient(p.weight, c, l.q_down);
  add_latent_saved(p, c, l);
  return p;
}

Passes grouped_query_attention(const BlockContext& c) {
  const Grouped g(c);
  Passes p;
  const Entry entry = enter(p, c);
  add_grouped_forward(p, c, g);
  add_grouped_backward(p.backward, c, g, entry);
  for (const Linear& layer : {g.o_projection, g.qkv}) {
    add_weight_operands(p.weight, layer);
    add_weight_gradient(p.weight, c, layer);
  }
  if (c.model.attention_output_bias) add_bias_sum(p.weight, c, g.o_projection.name, g.s.residual(), g.s.residual_tokens);
  if (c.model.attention_bias) add_bias_sum(p.weight, c, g.qkv.name, g.q + 2 * g.kv, g.s.tokens);
  p.saved.push_back({"queries, keys, values", g.q + 2 * g.kv});
  if (c.model.qk_norm) p.saved.push_back({"q and k before their norm", g.q + g.kv});
  p.saved.push_back({"attention output", g.q});
  if (c.runs_apart(UnfusedPart::attention)) {
    for (const SavedTensor& tensor : unfused_attention_saved(c)) p.saved.push_back(tensor);
  } else {
    p.saved.push_back(log_sum_exp(g.s, g.heads));
  }
  return p;
}

}  // namespace trillion
