// The routed feed-forward network of a mixture-of-experts layer: gate, exchanges, shared and routed experts.
#include "sim/workload/experts.h"

#include "sim/workload/feed_forward.h"

namespace trillion {

namespace {

constexpr double kScales = 1.03125;  // FP8 payload with its scales: one FP32 per 128 values

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

void add_shared_forward(Passes& p, const BlockContext& c, const Linear& up, const FeedForward& f) {
  const Sizes s(c);
  // The dispatch has quantised the tokens; the shared expert reads the same copy.
  if (s.fp8())
    add_forward_of_quantised(p.forward, up);
  else
    add_forward(p.forward, up);
  p.forward.push_back(activation_forward(f, c, s.fp8() ? Bytes{kScales} : Bytes{2}));
}

}  // namespace

Passes gate(const BlockContext& c) {
  const Sizes s(c);
  const MixtureOfExperts& moe = *c.model.moe;
  const auto scores = Bytes{4.0 * static_cast<double>(s.residual_tokens * moe.n_routed_experts)};
  const Linear router{"gate", s.residual_tokens, s.hidden, moe.n_routed_experts, Category::gate, DType::bf16};
  Passes p;
  add_norm(p, c, "ffn norm");
  const Operations norm_backward = p.backward;
  p.backward.clear();

  add_forward(p.forward, router);
  p.forward.push_back(memory_operation("gate top-k", Category::gate, MemoryKernel::gate_topk, scores, scores));
  if (s.fp8()) p.forward.push_back(cast_operation("quantise for dispatch", static_cast<double>(s.residual_tokens * s.hidden)));

  p.backward.push_back(memory_operation("gate top-k backward", Category::gate, MemoryKernel::gate_topk_backward, scores, scores));
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
  const double dispatched = fp8 ? kScales : 2;  // bytes of one value on the wire and in the expert's input
  const std::int64_t shared_width = moe.shared_intermediate_size / s.tensor;
  const std::int64_t up = up_factor(c.model);
  const FeedForward routed{"experts", r.rows, r.width, LoadScale::rank_load};
  const FeedForward shared{"shared expert", s.tokens, shared_width, LoadScale::none};
  const Linear shared_up{"shared expert up", s.tokens, s.hidden, up * shared_width, Category::experts, s.linear_type};
  const Linear shared_down{"shared expert down", s.tokens, shared_width, s.hidden, Category::experts, s.linear_type};
  constexpr auto kMove = Category::norm_and_elementwise;
  constexpr auto kCast = Category::cast_and_quantize;
  const double rows = static_cast<double>(r.rows);

  Passes p;
  if (shared_width > 0) add_shared_forward(p, c, shared_up, shared);
  p.forward.push_back(routed_memory("expert mapping", kMove, MemoryKernel::expert_mapping, Bytes{8 * rows}, Bytes{8 * rows}));
  p.forward.push_back(
      routed_memory("permute tokens to experts", kMove, MemoryKernel::permute, r.payload(dispatched), r.payload(dispatched)));
  if (fp8)
    p.forward.push_back(memory_operation("experts up transpose weights", kCast, MemoryKernel::transpose, r.weights(s.hidden, up * r.width),
                                         r.weights(s.hidden, up * r.width)));
  p.forward.push_back(grouped_gemm(c, "experts up", up * r.width, s.hidden, GemmLayout::forward));
  p.forward.push_back(scaled(activation_forward(routed, c, fp8 ? Bytes{kScales} : Bytes{2})));
  if (fp8)
    p.forward.push_back(memory_operation("experts down transpose weights", kCast, MemoryKernel::transpose, r.weights(r.width, s.hidden),
                                         r.weights(r.width, s.hidden)));
  p.forward.push_back(grouped_gemm(c, "experts down", s.hidden, r.width, GemmLayout::forward));
  p.forward.push_back(routed_memory("unpermute tokens", kMove, MemoryKernel::unpermute, r.payload(2), r.payload(2)));
  if (shared_width > 0) {
    if (fp8)
      add_forward_of_quantised(p.forward, shared_down);
    else
      add_forward(p.forward, shared_down);
  }
  if (fp8 && c.plan.recomputes(RecomputeModule::activation)) {
    // The activation's input is kept in FP8 (DeepSeek-V3 report, section 3.3.3).
    p.forward.push_back(scaled(cast_operation("experts keep activation input", rows * static_cast<double>(up * r.width))));
    if (shared_width > 0)
      p.forward.push_back(cast_operation("shared expert keep activation input", static_cast<double>(s.tokens * up * shared_width)));
  }

  if (fp8) p.backward.push_back(cast_operation("quantise gradient for dispatch", static_cast<double>(s.residual_tokens * s.hidden)));
  if (shared_width > 0) {
    add_input_gradient(p.backward, shared_down);
    add_weight_operands(p.backward, shared_down);
    p.backward.push_back(activation_backward(shared, c));
  }
  if (fp8)
    p.backward.push_back(routed_memory("experts restore gradient", kCast, MemoryKernel::cast_bf16, r.payload(kScales), r.payload(2)));
  p.backward.push_back(
      routed_memory("permute gradients to experts", kMove, MemoryKernel::permute, r.payload(dispatched), r.payload(dispatched)));
  p.backward.push_back(grouped_gemm(c, "experts down dgrad", r.width, s.hidden, GemmLayout::input_gradient));
  p.backward.push_back(scaled(activation_backward(routed, c)));
  const double activated = rows * static_cast<double>(r.width);
  p.backward.push_back(
      routed_memory("expert weights backward", kMove, MemoryKernel::swiglu_backward, Bytes{4 * activated}, Bytes{4 * rows}));
  if (fp8) {
    p.backward.push_back(scaled(cast_transpose_operation("experts quantise activation for wgrad", activated)));
    p.backward.push_back(scaled(cast_operation("experts quantise gradient", static_cast<double>(up) * activated)));
  }
  if (c.plan.recomputes(RecomputeModule::norm)) {
    p.backward.push_back(memory_operation("ffn norm again", Category::recompute, MemoryKernel::rms_norm, s.residual(), s.residual()));
    if (fp8) p.backward.push_back(cast_operation("quantise normed tokens again", static_cast<double>(s.residual_tokens * s.hidden)));
  }
  p.backward.push_back(grouped_gemm(c, "experts up dgrad", s.hidden, up * r.width, GemmLayout::input_gradient));
  p.backward.push_back(routed_memory("unpermute gradients", kMove, MemoryKernel::unpermute, r.payload(2), r.payload(2)));
  if (fp8)
    p.backward.push_back(scaled(cast_transpose_operation("experts quantise gradient for wgrad", static_cast<double>(up) * activated)));
  if (shared_width > 0) {
    add_input_gradient(p.backward, shared_up);
    add_weight_operands(p.backward, shared_up);
    add_weight_gradient(p.weight, shared_down);
  }
  const double hidden_rows = rows * static_cast<double>(s.hidden);
  if (fp8) p.weight.push_back(scaled(cast_transpose_operation("experts quantise output gradient for wgrad", hidden_rows)));
  p.weight.push_back(grouped_gemm(c, "experts down wgrad", r.width, s.hidden, GemmLayout::weight_gradient));
  if (fp8) p.weight.push_back(scaled(cast_transpose_operation("experts quantise input for wgrad", hidden_rows)));
  p.weight.push_back(grouped_gemm(c, "experts up wgrad", s.hidden, up * r.width, GemmLayout::weight_gradient));
  if (shared_width > 0) add_weight_gradient(p.weight, shared_up);

  p.saved.push_back({"expert inputs", r.payload(dispatched), LoadScale::rank_load});
  add_saved_activation(p, routed, c);
  if (shared_width > 0) add_saved_activation(p, shared, c);
  return p;
}

Exchanges exchanges(const BlockContext& c) {
  const double dispatched = Sizes(c).fp8() ? kScales : 2;
  if (c.plan.expert_parallel == 1) return {};
  return {exchange(c, "dispatch", CollectiveKind::expert_dispatch, dispatched), exchange(c, "combine", CollectiveKind::expert_combine, 2),
          exchange(c, "combine backward (dispatch of gradients)", CollectiveKind::expert_dispatch, dispatched),
          exchange(c, "dispatch backward (combine of gradients)", CollectiveKind::expert_combine, 2)};
}

}  // namespace trillion
