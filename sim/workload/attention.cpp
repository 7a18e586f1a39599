// Attention modules: multi-head latent attention and grouped-query attention.
#include <algorithm>

#include "sim/workload/passes.h"

namespace trillion {

namespace {

constexpr auto kElementwise = Category::norm_and_elementwise;
constexpr double kE5m6 = (1.5 + 4.0 / 128) / 2;  // 12 bits and a scale per 128 values, relative to BF16

// Keys per query and causality of the fused kernel. Context parallelism gives every rank two mirrored slices of the sequence
// (Llama 3 report, section 3.3.2), so that all do the mean work: a query meets half of the keys, without a mask of its own.
Attention core_attention(const BlockContext& c, std::int64_t qk_dim, std::int64_t v_dim, Direction direction) {
  const std::int64_t s = c.training.sequence_length;
  Attention a{.dtype = DType::bf16,
              .batch = c.plan.micro_batch_size,
              .heads = c.model.num_attention_heads / c.plan.tensor_parallel,
              .kv_heads = std::max<std::int64_t>(1, c.model.num_key_value_heads / c.plan.tensor_parallel),
              .queries = s,
              .keys = s,
              .qk_dim = qk_dim,
              .v_dim = v_dim,
              .causal = true,
              .direction = direction};
  if (c.plan.context_parallel > 1) {
    a.queries = s / c.plan.context_parallel;
    a.keys = s / 2;
    a.causal = false;
  }
  return a;
}

// Keys and values of the whole sequence, gathered over the context-parallel group before attention (Llama 3 report, section
// 3.3.2); their gradients are reduce-scattered.
void add_context_gather(Passes& p, const BlockContext& c, std::int64_t kv_channels) {
  if (c.plan.context_parallel == 1) return;
  const Sizes s(c);
  const auto exchange = [&](const char* label, CollectiveKind kind) {
    return Operation{label, Category::context_parallel, Lane::tensor,
                     Collective{.kind = kind,
                                .bytes = s.bf16(kv_channels) * static_cast<double>(c.plan.context_parallel),
                                .ranks = c.context.size,
                                .ranks_per_node = c.context.ranks_per_node,
                                .scale_up_bytes = {}}};
  };
  p.forward.push_back(exchange("attention gather keys and values", CollectiveKind::all_gather));
  p.backward.push_back(exchange("attention reduce gradient of keys and values", CollectiveKind::reduce_scatter));
}

// FlashAttention's backward: a pass over dO and O for the row sums, the main kernel, the conversion of dQ from FP32.
void add_attention_backward(Operations& ops, const BlockContext& c, std::int64_t qk_dim, std::int64_t v_dim) {
  const Sizes s(c);
  const std::int64_t heads = c.model.num_attention_heads / s.tensor;
  const Bytes o = s.bf16(heads * v_dim), q = s.bf16(heads * qk_dim);
  ops.push_back(memory_operation("attention backward preprocess", Category::attention, MemoryKernel::attention_preprocess, 2 * o, 2 * q));
  ops.push_back({"attention backward", Category::attention, Lane::compute, core_attention(c, qk_dim, v_dim, Direction::backward)});
  ops.push_back(memory_operation("attention backward postprocess", Category::attention, MemoryKernel::attention_postprocess, 2 * q, q));
}

Operation again(Operation op) {
  op.label += " again";
  op.category = Category::recompute;
  return op;
}

// The parts of MLA that both passes run: from the latents to queries, keys and values.
Operations latent_up_projection(const BlockContext& c, const Linear& q_up, const Linear& kv_up) {
  const Sizes s(c);
  const LatentAttention& mla = *c.model.mla;
  const std::int64_t heads = c.model.num_attention_heads / s.tensor;
  const Bytes q_latent = s.bf16(mla.q_lora_rank.value_or(0)), kv_latent = s.bf16(mla.kv_lora_rank);
  const Bytes k_nope = s.bf16(heads * mla.qk_nope_head_dim), q_rope = s.bf16(heads * mla.qk_rope_head_dim);
  Operations ops;
  if (mla.q_lora_rank) ops.push_back(memory_operation("q latent norm", kElementwise, MemoryKernel::rms_norm, q_latent, q_latent));
  ops.push_back(memory_operation("kv latent norm", kElementwise, MemoryKernel::rms_norm, kv_latent, kv_latent));
  if (mla.q_lora_rank) add_forward(ops, q_up);
  add_forward(ops, kv_up);
  ops.push_back(memory_operation("assemble keys", kElementwise, MemoryKernel::copy, k_nope, k_nope));
  ops.push_back(memory_operation("spread rotary key", kElementwise, MemoryKernel::copy, s.bf16(mla.qk_rope_head_dim), q_rope));
  ops.push_back(memory_operation("rotary embedding", kElementwise, MemoryKernel::rope, q_rope, q_rope));
  return ops;
}

}  // namespace

Passes latent_attention(const BlockContext& c) {
  const Sizes s(c);
  const LatentAttention& mla = *c.model.mla;
  const std::int64_t heads = c.model.num_attention_heads / s.tensor;
  const std::int64_t qk_dim = mla.qk_nope_head_dim + mla.qk_rope_head_dim;
  const std::int64_t q_in = mla.q_lora_rank.value_or(s.hidden);
  const auto linear = [&](const char* name, std::int64_t in, std::int64_t out) {
    return Linear{name, s.tokens, in, out, Category::attention, s.linear_type};
  };
  const Linear q_down = linear("q down", s.hidden, mla.q_lora_rank.value_or(0));
  const Linear kv_down = linear("kv down", s.hidden, mla.kv_lora_rank + mla.qk_rope_head_dim);
  const Linear q_up = linear(mla.q_lora_rank ? "q up" : "q projection", q_in, heads * qk_dim);
  const Linear kv_up = linear("kv up", mla.kv_lora_rank, heads * (mla.qk_nope_head_dim + mla.v_head_dim));
  const Linear o_projection = linear("o projection", heads * mla.v_head_dim, s.hidden);
  const bool low_rank_q = mla.q_lora_rank.has_value();
  const Bytes o = s.bf16(heads * mla.v_head_dim), q = s.bf16(heads * qk_dim), kv = s.bf16(kv_up.out);

  Passes p;
  add_norm(p, c, "attention norm");
  const Operations norm_backward = p.backward;
  p.backward.clear();
  add_tensor_entry(p, c, "attention");
  const Operations entry_backward = p.backward;
  p.backward.clear();

  add_forward(p.forward, low_rank_q ? q_down : q_up);
  add_forward(p.forward, kv_down);
  const Operations up = latent_up_projection(c, q_up, kv_up);
  p.forward.insert(p.forward.end(), up.begin(), up.end());
  Passes context;
  add_context_gather(context, c, kv_up.out + mla.qk_rope_head_dim);
  p.forward.insert(p.forward.end(), context.forward.begin(), context.forward.end());
  p.forward.push_back({"attention", Category::attention, Lane::compute, core_attention(c, qk_dim, mla.v_head_dim, Direction::forward)});
  // The FP8 recipe keeps the input of the output projection in E5M6 (DeepSeek-V3 report, section 3.3.3): 12 bits a value.
  const bool e5m6 = s.fp8();
  if (e5m6) {
    p.forward.push_back(memory_operation("o keep as E5M6", Category::cast_and_quantize, MemoryKernel::cast_fp8, o, kE5m6 * o));
  }
  add_forward(p.forward, o_projection);
  add_tensor_exit(p, c, "attention");
  if (!c.fuses_residual_with_norm) {
    p.forward.push_back(memory_operation("attention residual", kElementwise, MemoryKernel::add, 2 * s.residual(), s.residual()));
  }

  // Backward, from the output to the input.
  if (e5m6) {
    p.backward.push_back(memory_operation("o restore from E5M6", Category::cast_and_quantize, MemoryKernel::cast_bf16, kE5m6 * o, o));
  }
  add_input_gradient(p.backward, o_projection);
  add_weight_operands(p.backward, o_projection);
  if (c.plan.recomputes(RecomputeModule::mla_up_projection)) {
    for (const Operation& op : up) p.backward.push_back(again(op));
  }
  if (c.plan.recomputes(RecomputeModule::attention)) {
    p.backward.push_back(
        again({"attention", Category::attention, Lane::compute, core_attention(c, qk_dim, mla.v_head_dim, Direction::forward)}));
  }
  add_attention_backward(p.backward, c, qk_dim, mla.v_head_dim);
  p.backward.insert(p.backward.end(), context.backward.begin(), context.backward.end());
  const Bytes q_rope = s.bf16(heads * mla.qk_rope_head_dim);
  p.backward.push_back(memory_operation("rotary embedding backward", kElementwise, MemoryKernel::rope, q_rope, q_rope));
  if (low_rank_q) add_input_gradient(p.backward, q_up);
  p.backward.push_back(memory_operation("gather key and value gradients", kElementwise, MemoryKernel::copy, kv, kv));
  p.backward.push_back(memory_operation("sum rotary key gradients", kElementwise, MemoryKernel::add, q_rope, s.bf16(mla.qk_rope_head_dim)));
  add_input_gradient(p.backward, kv_up);
  add_weight_operands(p.backward, q_up);
  add_weight_operands(p.backward, kv_up);
  const Bytes q_latent = s.bf16(mla.q_lora_rank.value_or(0)), kv_latent = s.bf16(mla.kv_lora_rank);
  p.backward.push_back(
      memory_operation("kv latent norm backward", kElementwise, MemoryKernel::rms_norm_backward, 2 * kv_latent, kv_latent));
  if (low_rank_q) {
    p.backward.push_back(memory_operation("q latent norm backward", kElementwise, MemoryKernel::rms_norm_backward, 2 * q_latent, q_latent));
  }
  const bool norm_again = c.plan.recomputes(RecomputeModule::norm);
  if (norm_again) p.backward.push_back(norm_backward.front());
  add_input_gradient(p.backward, kv_down);
  add_weight_operands(p.backward, kv_down);
  add_input_gradient(p.backward, low_rank_q ? q_down : q_up);
  if (low_rank_q) add_weight_operands(p.backward, q_down);
  p.backward.push_back(memory_operation("attention add gradients", kElementwise, MemoryKernel::add, 2 * s.residual(), s.residual()));
  p.backward.insert(p.backward.end(), entry_backward.begin(), entry_backward.end());
  p.backward.push_back(norm_backward.back());

  for (const Linear& l : {o_projection, q_up, kv_up, kv_down}) add_weight_gradient(p.weight, l);
  if (low_rank_q) add_weight_gradient(p.weight, q_down);

  p.saved.push_back({"MLA latents", s.bf16(mla.q_lora_rank.value_or(0) + mla.kv_lora_rank + mla.qk_rope_head_dim)});
  if (!c.plan.recomputes(RecomputeModule::mla_up_projection)) {
    // Normalised latents, queries, keys (rotary part spread over the heads) and values.
    p.saved.push_back({"MLA up-projections", q_latent + kv_latent + 2 * q + s.bf16(heads * mla.v_head_dim)});
  }
  p.saved.push_back({"attention output", e5m6 ? kE5m6 * o : o});
  p.saved.push_back({"attention log-sum-exp", Bytes{4.0 * static_cast<double>(s.tokens * heads)}});
  return p;
}

Passes grouped_query_attention(const BlockContext& c) {
  const Sizes s(c);
  const Model& m = c.model;
  const std::int64_t heads = m.num_attention_heads / s.tensor;
  const std::int64_t kv_heads = std::max<std::int64_t>(1, m.num_key_value_heads / s.tensor);
  const std::int64_t d = m.head_dim;
  const Linear qkv{"qkv", s.tokens, s.hidden, (heads + 2 * kv_heads) * d, Category::attention, s.linear_type};
  const Linear o_projection{"o projection", s.tokens, heads * d, s.hidden, Category::attention, s.linear_type};
  const Bytes q = s.bf16(heads * d), kv = s.bf16(kv_heads * d), o = q;
  const Bytes rotated = m.position_encoding == PositionEncoding::rope ? q + kv : Bytes{};

  Passes p;
  add_norm(p, c, "attention norm");
  const Operations norm_backward = p.backward;
  p.backward.clear();
  add_tensor_entry(p, c, "attention");
  const Operations entry_backward = p.backward;
  p.backward.clear();

  add_forward(p.forward, qkv);
  if (m.qk_norm) p.forward.push_back(memory_operation("q and k norm", kElementwise, MemoryKernel::rms_norm, q + kv, q + kv));
  if (rotated.value() > 0) p.forward.push_back(memory_operation("rotary embedding", kElementwise, MemoryKernel::rope, rotated, rotated));
  Passes context;
  add_context_gather(context, c, 2 * kv_heads * d);
  p.forward.insert(p.forward.end(), context.forward.begin(), context.forward.end());
  p.forward.push_back({"attention", Category::attention, Lane::compute, core_attention(c, d, d, Direction::forward)});
  add_forward(p.forward, o_projection);
  add_tensor_exit(p, c, "attention");
  if (!c.fuses_residual_with_norm) {
    p.forward.push_back(memory_operation("attention residual", kElementwise, MemoryKernel::add, 2 * s.residual(), s.residual()));
  }

  add_input_gradient(p.backward, o_projection);
  if (c.plan.recomputes(RecomputeModule::attention)) {
    p.backward.push_back(again({"attention", Category::attention, Lane::compute, core_attention(c, d, d, Direction::forward)}));
  }
  add_attention_backward(p.backward, c, d, d);
  p.backward.insert(p.backward.end(), context.backward.begin(), context.backward.end());
  if (rotated.value() > 0) {
    p.backward.push_back(memory_operation("rotary embedding backward", kElementwise, MemoryKernel::rope, rotated, rotated));
  }
  if (m.qk_norm) {
    p.backward.push_back(memory_operation("q and k norm backward", kElementwise, MemoryKernel::rms_norm_backward, 2 * (q + kv), q + kv));
  }
  if (c.plan.recomputes(RecomputeModule::norm)) p.backward.push_back(norm_backward.front());
  add_input_gradient(p.backward, qkv);
  p.backward.insert(p.backward.end(), entry_backward.begin(), entry_backward.end());
  p.backward.push_back(norm_backward.back());

  for (const Linear& l : {o_projection, qkv}) {
    add_weight_operands(p.weight, l);
    add_weight_gradient(p.weight, l);
  }

  p.saved.push_back({"queries, keys, values", q + 2 * kv});
  if (m.qk_norm) p.saved.push_back({"q and k before their norm", q + kv});
  p.saved.push_back({"attention output", o});
  p.saved.push_back({"attention log-sum-exp", Bytes{4.0 * static_cast<double>(s.tokens * heads)}});
  return p;
}

}  // namespace trillion
