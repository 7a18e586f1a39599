// The routed feed-forward network of a mixture-of-experts layer: gate, exchanges, shared and routed experts.
#include "sim/workload/experts.h"

#include "sim/workload/feed_forward.h"

namespace trillion {

namespace {

// One rank's share of the routed work, on balanced load.
struct Routed {
  explicit Routed(const BlockContext& c) {
    const MixtureOfExperts& moe = *c.model.moe;
    const Sizes s(c);
    local_experts = moe.n_routed_experts / c.plan.expert_parallel;
    rows = s.residual_tokens * moe.num_experts_per_tok * c.plan.expert_tensor_parallel;
    width = moe.moe_intermediate_size / c.plan.expert_tensor_parallel;
    hidden = s.hidden;
  }
  std::int64_t local_experts = 0, rows = 0, width = 0, hidden = 0;

  Bytes payload(double bytes_per_value) const { return Bytes{bytes_per_value * static_cast<double>(rows) * static_cast<double>(hidden)}; }
  Bytes weights(std::int64_t in, std::int64_t out) const {
    return Bytes{static_cast<double>(local_experts) * static_cast<double>(in) * static_cast<double>(out)};
  }
  // Rows per expert; what does not divide goes to the first experts.
  std::vector<std::int64_t> groups() const {
    std::vector<std::int64_t> m(static_cast<std::size_t>(local_experts), rows / local_experts);
    for (std::int64_t i = 0; i < rows % local_experts; ++i) ++m[static_cast<std::size_t>(i)];
    return m;
  }
};

Operation grouped_gemm(const BlockContext& c, const std::string& label, std::int64_t n, std::int64_t k, GemmLayout layout) {
  const Routed r(c);
  return {label, Category::experts, Lane::compute,
          GroupedGemm{.dtype = Sizes(c).linear_type,
                      .m = r.groups(),
                      .n = n,
                      .k = k,
                      .layout = layout,
                      .accumulate_fp32 = layout == GemmLayout::weight_gradient},
          LoadScale::rank_load};
}

Operation routed_memory(std::string label, Category category, MemoryKernel kernel, Bytes read, Bytes written) {
  Operation op = memory_operation(std::move(label), category, kernel, read, written);
  op.scale = LoadScale::rank_load;
  return op;
}

Operation scaled(Operation op) {
  op.scale = LoadScale::rank_load;
  return op;
}

Operation exchange(const BlockContext& c, const std::string& label, CollectiveKind kind, double bytes_per_value) {
  const Sizes s(c);
  const double token = static_cast<double>(s.residual_tokens) * static_cast<double>(s.hidden) * bytes_per_value;
  return {label, Category::expert_all_to_all, Lane::expert,
          Collective{.kind = kind,
                     .bytes = Bytes{token * c.routing.remote_nodes_per_token},
                     .ranks = c.expert.size,
                     .ranks_per_node = c.expert.ranks_per_node,
                     .scale_up_bytes = Bytes{token * c.routing.local_ranks_per_token}},
          LoadScale::exchange};
}

}  // namespace

Passes gate(const BlockContext& c) {
  const Sizes s(c);
  const MixtureOfExperts& moe = *c.model.moe;
  const auto scores = Bytes{4.0 * static_cast<double>(s.residual_tokens * moe.n_routed_experts)};
  const Linear router{"gate", s.residual_tokens, s.hidden, moe.n_routed_experts, Category::gate, DType::bf16};
  Passes p;
  add_norm(p, c, "ffn norm", c.fuses_residual_with_norm);
  const Operations norm_backward = p.backward;
  p.backward.clear();

  add_forward(p.forward, router);
  // Two selections (experts; experts again for the balance statistics) and some fifty small kernels around them, with the bytes
  // that calibration/raw/h800 counts for them.
  for (const char* label : {"gate top-k", "gate balance top-k"}) {
    p.forward.push_back(memory_operation(label, Category::gate, MemoryKernel::gate_topk, scores, 0.1 * scores));
  }
  p.forward.push_back(memory_operation("gate scores", Category::gate, MemoryKernel::gate_topk, 8.6 * scores, 7.15 * scores));
  if (s.fp8()) p.forward.push_back(cast_operation("quantise for dispatch", static_cast<double>(s.residual_tokens * s.hidden)));

  p.backward.push_back(
      memory_operation("gate top-k backward", Category::gate, MemoryKernel::gate_topk_backward, 14.3 * scores, 10.7 * scores));
  add_input_gradient(p.backward, router);
  add_weight_gradient(p.backward, router);
  p.backward.push_back(
      memory_operation("ffn add gradients", Category::norm_and_elementwise, MemoryKernel::add, 2 * s.residual(), s.residual()));
  p.backward.push_back(norm_backward.back());
  p.saved.push_back({"gate scores", scores});
  return p;
}

Passes routed_feed_forward(const BlockContext& c) {
  const Sizes s(c);
  const MixtureOfExperts& moe = *c.model.moe;
  const Routed r(c);
  const bool fp8 = s.fp8();
  const double dispatched = fp8 ? kFp8Bytes : 2;  // bytes of one value on the wire and in the expert's input
  const std::int64_t shared_width = moe.shared_intermediate_size / s.tensor;
  const std::int64_t up = up_factor(c.model);
  const FeedForward routed{"experts", r.rows, r.width, LoadScale::rank_load};
  const FeedForward shared{"shared expert", s.tokens, shared_width, LoadScale::none};
  const Linear shared_up{"shared expert up", s.tokens, s.hidden, up * shared_width, Category::experts, s.linear_type};
  const Linear shared_down{"shared expert down", s.tokens, shared_width, s.hidden, Category::experts, s.linear_type};
  constexpr auto kMove = Category::norm_and_elementwise;
  constexpr auto kCast = Category::cast_and_quantize;
  const double rows = static_cast<double>(r.rows);

  const bool has_shared = shared_width > 0;
  const Operand wide = fp8 ? Operand::quantised : Operand::bf16;  // the dispatch has quantised what it sends
  const double activated = rows * static_cast<double>(r.width), hidden_rows = rows * static_cast<double>(s.hidden);
  const double up_rows = static_cast<double>(up) * activated;
  const auto transpose_weights = [&](const char* label, std::int64_t in, std::int64_t out) {
    return memory_operation(label, kCast, MemoryKernel::transpose, r.weights(in, out), r.weights(in, out));
  };

  Passes p;
  if (has_shared) {
    add_forward(p.forward, shared_up, wide);
    p.forward.push_back(activation_forward(shared, c, Bytes{fp8 ? kFp8Bytes : 2}));
  }
  p.forward.push_back(routed_memory("count tokens of experts", kMove, MemoryKernel::expert_mapping, Bytes{64 * rows}, Bytes{32 * rows}));
  p.forward.push_back(routed_memory("map tokens to experts", kMove, MemoryKernel::expert_mapping, Bytes{64 * rows}, Bytes{36 * rows}));
  p.forward.push_back(
      routed_memory("permute tokens to experts", kMove, MemoryKernel::permute, r.payload(dispatched), r.payload(dispatched)));
  if (fp8) {
    p.forward.push_back(transpose_weights("experts up transpose weights", s.hidden, up * r.width));
    p.forward.push_back(scaled(scales_operation("experts up scales", hidden_rows)));
  }
  p.forward.push_back(grouped_gemm(c, "experts up", up * r.width, s.hidden, GemmLayout::forward));
  p.forward.push_back(activation_forward(routed, c, Bytes{fp8 ? kFp8Bytes : 2}));
  if (fp8) {
    p.forward.push_back(transpose_weights("experts down transpose weights", r.width, s.hidden));
    p.forward.push_back(scaled(scales_operation("experts down scales", activated)));
  }
  p.forward.push_back(grouped_gemm(c, "experts down", s.hidden, r.width, GemmLayout::forward));
  p.forward.push_back(routed_memory("unpermute tokens", kMove, MemoryKernel::unpermute, r.payload(2), r.payload(2)));
  if (has_shared) add_forward(p.forward, shared_down, wide);
  if (keeps_input_in_fp8(c)) {
    p.forward.push_back(keep_input(routed, c));
    if (has_shared) p.forward.push_back(keep_input(shared, c));
  }

  if (has_shared) {
    if (keeps_input_in_fp8(c)) p.backward.push_back(restore_input(shared, c));
    add_input_gradient(p.backward, shared_down, wide);
    if (fp8) {
      p.backward.push_back(output_again_as_operand(shared, c));
      p.backward.push_back(
          cast_transpose_operation("shared expert down quantise gradient for wgrad", static_cast<double>(s.tokens * s.hidden)));
    }
    p.backward.push_back(activation_backward(shared, c, Bytes{}));
  }
  if (keeps_input_in_fp8(c)) p.backward.push_back(restore_input(routed, c));
  p.backward.push_back(
      routed_memory("permute gradients to experts", kMove, MemoryKernel::permute, r.payload(dispatched), r.payload(dispatched)));
  if (fp8) p.backward.push_back(scaled(scales_operation("experts down dgrad scales", hidden_rows)));
  p.backward.push_back(grouped_gemm(c, "experts down dgrad", r.width, s.hidden, GemmLayout::input_gradient));
  // Beside the input's gradient: the output again, and its product with the routing weights.
  p.backward.push_back(activation_backward(routed, c, Bytes{4}));
  p.backward.push_back(
      routed_memory("gradient of routing weights", kMove, MemoryKernel::swiglu_backward, Bytes{4 * activated}, Bytes{28 * rows}));
  if (fp8) {
    p.backward.push_back(scaled(cast_transpose_operation("experts quantise activation for wgrad", activated)));
    p.backward.push_back(scaled(cast_operation("experts quantise gradient", up_rows)));
    p.backward.push_back(scaled(scales_operation("experts up dgrad scales", up_rows)));
  }
  if (c.plan.recomputes(RecomputeModule::norm)) {
    p.backward.push_back(memory_operation("ffn norm again", Category::recompute, MemoryKernel::rms_norm, s.residual(), s.residual()));
    if (fp8) p.backward.push_back(cast_operation("quantise normed tokens again", static_cast<double>(s.residual_tokens * s.hidden)));
  }
  p.backward.push_back(grouped_gemm(c, "experts up dgrad", s.hidden, up * r.width, GemmLayout::input_gradient));
  p.backward.push_back(routed_memory("unpermute gradients", kMove, MemoryKernel::unpermute, r.payload(2), r.payload(2)));
  if (fp8) p.backward.push_back(scaled(cast_transpose_operation("experts quantise gradient for wgrad", up_rows)));
  if (has_shared) {
    if (fp8) {
      // Kept in FP8 by rows; the weight gradient wants it by columns (DeepSeek-V3 report, section 3.3.3).
      const Bytes input = s.bf16(s.hidden);
      p.backward.push_back(memory_operation("shared expert restore input", kCast, MemoryKernel::cast_bf16, (kFp8Bytes / 2) * input, input));
    }
    add_input_gradient(p.backward, shared_up);
    add_weight_operands(p.backward, shared_up);
    add_weight_gradient(p.weight, shared_down);
  }

  // The received rows are in FP8: gathered per expert and transposed in one kernel.
  const auto gather_rows = [&](const char* label) {
    return routed_memory(label, kCast, MemoryKernel::cast_fp8_transpose, r.payload(kFp8Bytes), r.payload(kFp8Bytes));
  };
  if (fp8) p.weight.push_back(gather_rows("experts gather output gradient for wgrad"));
  p.weight.push_back(grouped_gemm(c, "experts down wgrad", r.width, s.hidden, GemmLayout::weight_gradient));
  if (fp8) p.weight.push_back(gather_rows("experts gather input for wgrad"));
  p.weight.push_back(grouped_gemm(c, "experts up wgrad", s.hidden, up * r.width, GemmLayout::weight_gradient));
  if (has_shared) add_weight_gradient(p.weight, shared_up);

  p.saved.push_back({"expert inputs", r.payload(dispatched), LoadScale::rank_load});
  add_saved_activation(p, routed, c);
  if (shared_width > 0) add_saved_activation(p, shared, c);
  return p;
}

Exchanges exchanges(const BlockContext& c) {
  if (c.plan.expert_parallel == 1) return {};
  const Sizes s(c);
  const double dispatched = s.fp8() ? kFp8Bytes : 2;
  Exchanges e{exchange(c, "dispatch", CollectiveKind::expert_dispatch, dispatched),
              exchange(c, "combine", CollectiveKind::expert_combine, 2), std::nullopt,
              exchange(c, "combine backward", CollectiveKind::expert_dispatch, dispatched),
              exchange(c, "dispatch backward", CollectiveKind::expert_combine, 2)};
  if (s.fp8()) {
    e.combine_backward_cast = cast_operation("quantise gradient for dispatch", static_cast<double>(s.residual_tokens * s.hidden));
    e.combine_backward_cast->lane = Lane::expert;  // it runs on the communication stream, beside the weight gradients before it
  }
  return e;
}

}  // namespace trillion
