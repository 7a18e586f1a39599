// The routed feed-forward network of a mixture-of-experts layer: gate, shared and routed experts.
#include "sim/workload/experts.h"

#include <algorithm>
#include <cmath>

#include "sim/base/normal.h"
#include "sim/moe/placement.h"
#include "sim/workload/apart.h"
#include "sim/workload/expert_exchange.h"
#include "sim/workload/feed_forward.h"

namespace trillion {

namespace {

struct Routed : RoutedShare {
  using RoutedShare::RoutedShare;

  Bytes payload(double bytes_per_value) const { return Bytes{bytes_per_value * static_cast<double>(rows) * static_cast<double>(hidden)}; }
  Bytes weights(std::int64_t in, std::int64_t out) const {
    return Bytes{static_cast<double>(local_experts) * static_cast<double>(in) * static_cast<double>(out)};
  }
};

Operation routed_memory(std::string label, Category category, MemoryKernel kernel, Bytes read, Bytes written) {
  Operation op = memory_operation(std::move(label), category, kernel, read, written);
  op.scale = LoadScale::rank_load;
  return op;
}

Operation scaled(Operation op) {
  op.scale = LoadScale::rank_load;
  return op;
}

// Ranks that split an expert's channels work on the tokens of all of them (Megatron-LM's expert tensor parallelism): gathered after the
// dispatch, summed before the combine.
void add_across_channels(Operations& ops, const BlockContext& c, const char* label, CollectiveKind kind, double bytes_per_value) {
  if (c.plan.expert_tensor_parallel == 1) return;
  ops.push_back({label, Category::tensor_parallel, Lane::expert,
                 Collective{.kind = kind,
                            .bytes = Routed(c).payload(bytes_per_value),
                            .ranks = c.expert_tensor.size,
                            .ranks_per_node = c.expert_tensor.ranks_per_node,
                            .scale_up_bytes = {},
                            .nic_share = c.expert_tensor.nic_share},
                 LoadScale::rank_load});
}

constexpr auto kMove = Category::norm_and_elementwise;
constexpr auto kCast = Category::cast_and_quantize;

// Shared and routed experts of one rank: their matrices and the tensors between them.
struct Experts {
  explicit Experts(const BlockContext& c);

  Operation transpose_weights(const char* label, std::int64_t in, std::int64_t out) const {
    return memory_operation(label, kCast, MemoryKernel::transpose, r.weights(in, out), r.weights(in, out));
  }
  Operation moved(const char* label, MemoryKernel kernel, double bytes_per_value) const {
    return routed_memory(label, kMove, kernel, r.payload(bytes_per_value), r.payload(bytes_per_value));
  }
  // The received rows are in FP8: gathered per expert and transposed in one kernel.
  Operation gather_rows(const char* label) const {
    return routed_memory(label, kCast, MemoryKernel::cast_fp8_transpose, r.payload(kFp8Bytes), r.payload(kFp8Bytes));
  }

  // Rows in BF16 that a grouped product takes, quantised along both directions in one kernel.
  Operation quantise_both(const char* label, double values) const {
    return routed_memory(label, kCast, MemoryKernel::cast_fp8, Bytes{2 * values}, Bytes{2 * kFp8Bytes * values});
  }

  Sizes s;
  Routed r;
  bool fp8, has_shared;
  bool late;            // FP8 only where the rows have arrived (workload/apart.h, expert_casts)
  Operand wide;         // how rows of `hidden` values reach a GEMM: the dispatch has quantised what it sends
  double dispatched;    // bytes of one value on the wire and in the expert's input
  std::int64_t up_out;  // channels that an expert's first matrix writes
  double rows, activated, hidden_rows, up_rows;
  FeedForward routed, shared;
  Linear shared_up, shared_down;
};

Experts::Experts(const BlockContext& c)
    : s(c),
      r(c),
      fp8(s.fp8()),
      has_shared(c.model.moe->shared_intermediate_size / s.tensor > 0),
      late(fp8 && c.runs_apart(UnfusedPart::expert_casts)),
      wide(fp8 && !late ? Operand::quantised : Operand::bf16),
      dispatched(fp8 && !late ? kFp8Bytes : 2),
      up_out(up_factor(c.model) * r.width),
      rows(static_cast<double>(r.rows)),
      activated(rows * static_cast<double>(r.width)),
      hidden_rows(rows * static_cast<double>(s.hidden)),
      up_rows(static_cast<double>(up_factor(c.model)) * activated),
      routed{"experts", r.rows, r.width, LoadScale::rank_load, RecomputeModule::moe},
      shared{"shared expert", s.tokens, c.model.moe->shared_intermediate_size / s.tensor, LoadScale::none, RecomputeModule::shared_experts},
      shared_up{"shared expert up", s.tokens, s.hidden, up_factor(c.model) * shared.width, Category::experts, s.linear_type},
      shared_down{"shared expert down", s.tokens, shared.width, s.hidden, Category::experts, s.linear_type} {}

// Tensor-parallel communication around the shared expert, which is a dense network.
struct SharedWires {
  explicit SharedWires(const BlockContext& c) {
    if (c.plan.tensor_parallel == 1) return;
    Passes entry, exit;
    EntryBackward back = add_tensor_entry(entry, c, "shared expert", Sizes(c).linear_type);
    add_tensor_exit(exit, c, "shared expert", Sizes(c).linear_type);
    // The exchanges around the experts are what runs beside them, so these stay in the chain.
    for (Operations* ops : {&back.before, &back.after}) {
      for (Operation& op : *ops) op.order = Order::chain;
    }
    in = entry.forward;
    out = exit.forward;
    gradient_in = exit.backward;
    input_again = back.before;
    gradient_out = back.after;
  }
  Operations in, out, gradient_in, input_again, gradient_out;
};

void add_routed_forward(Operations& ops, const BlockContext& c, const Experts& e) {
  add_across_channels(ops, c, "experts gather tokens", CollectiveKind::all_gather, e.dispatched);
  ops.push_back(routed_memory("count tokens of experts", kMove, MemoryKernel::expert_mapping, Bytes{64 * e.rows}, Bytes{32 * e.rows}));
  ops.push_back(routed_memory("map tokens to experts", kMove, MemoryKernel::expert_mapping, Bytes{64 * e.rows}, Bytes{36 * e.rows}));
  ops.push_back(e.moved("permute tokens to experts", MemoryKernel::permute, e.dispatched));
  if (e.late) {
    ops.push_back(e.quantise_both("experts up quantise input", e.hidden_rows));
  } else if (e.fp8) {
    ops.push_back(e.transpose_weights("experts up transpose weights", e.s.hidden, e.up_out));
    ops.push_back(scaled(scales_operation("experts up scales", e.hidden_rows)));
  }
  ops.push_back(grouped_gemm(c, "experts up", e.up_out, e.s.hidden, GemmLayout::forward));
  ops.push_back(activation_forward(e.routed, c, Bytes{e.fp8 && !e.late ? kFp8Bytes : 2}));
  if (e.late) {
    ops.push_back(e.quantise_both("experts down quantise input", e.activated));
  } else if (e.fp8) {
    ops.push_back(e.transpose_weights("experts down transpose weights", e.r.width, e.s.hidden));
    ops.push_back(scaled(scales_operation("experts down scales", e.activated)));
  }
  ops.push_back(grouped_gemm(c, "experts down", e.s.hidden, e.r.width, GemmLayout::forward));
  ops.push_back(e.moved("unpermute tokens", MemoryKernel::unpermute, 2));
  add_across_channels(ops, c, "experts sum outputs", CollectiveKind::reduce_scatter, 2);
}

// The shared expert runs around the routed ones; what the backward pass keeps of both is written last.
void add_experts_forward(Operations& ops, const BlockContext& c, const Experts& e) {
  const SharedWires wires(c);
  if (e.has_shared) {
    append(ops, wires.in);
    add_forward(ops, e.shared_up, e.wide);
    ops.push_back(activation_forward(e.shared, c, Bytes{e.fp8 && !e.late ? kFp8Bytes : 2}));
  }
  add_routed_forward(ops, c, e);
  if (e.has_shared) {
    add_forward(ops, e.shared_down, e.wide);
    append(ops, wires.out);
  }
  if (keeps_input_in_fp8(e.routed, c)) ops.push_back(keep_input(e.routed, c));
  if (e.has_shared && keeps_input_in_fp8(e.shared, c)) ops.push_back(keep_input(e.shared, c));
}

// The shared expert alone, where the backward pass runs it again without the routed ones.
Operations shared_again(const BlockContext& c, const Experts& e) {
  if (!e.has_shared || !c.plan.recomputes(RecomputeModule::shared_experts)) return {};
  const SharedWires wires(c);
  Operations ops = wires.in;
  add_forward(ops, e.shared_up, e.wide);
  ops.push_back(activation_forward(e.shared, c, Bytes{e.fp8 && !e.late ? kFp8Bytes : 2}));
  add_forward(ops, e.shared_down, e.wide);
  append(ops, wires.out);
  return again(ops);
}

void add_shared_backward_to_activation(Operations& ops, const BlockContext& c, const Experts& e) {
  if (!e.has_shared) return;
  append(ops, SharedWires(c).gradient_in);
  if (keeps_input_in_fp8(e.shared, c)) ops.push_back(restore_input(e.shared, c));
  add_input_gradient(ops, e.shared_down, e.wide);
  if (e.late) {
    add_weight_operands(ops, e.shared_down);
  } else if (e.fp8) {
    ops.push_back(output_again_as_operand(e.shared, c));
    ops.push_back(cast_transpose_operation("shared expert down quantise gradient for wgrad", static_cast<double>(e.s.tokens * e.s.hidden)));
  }
  ops.push_back(activation_backward(e.shared, c, Bytes{}));
}

void add_routed_backward_to_activation(Operations& ops, const BlockContext& c, const Experts& e) {
  if (keeps_input_in_fp8(e.routed, c)) ops.push_back(restore_input(e.routed, c));
  add_across_channels(ops, c, "experts gather gradients", CollectiveKind::all_gather, e.dispatched);
  ops.push_back(e.moved("permute gradients to experts", MemoryKernel::permute, e.dispatched));
  if (e.late) {
    ops.push_back(e.quantise_both("experts down quantise gradient", e.hidden_rows));
  } else if (e.fp8) {
    ops.push_back(scaled(scales_operation("experts down dgrad scales", e.hidden_rows)));
  }
  ops.push_back(grouped_gemm(c, "experts down dgrad", e.r.width, e.s.hidden, GemmLayout::input_gradient));
  // Beside the input's gradient: the output again, and its product with the routing weights.
  ops.push_back(activation_backward(e.routed, c, Bytes{4}));
  ops.push_back(
      routed_memory("gradient of routing weights", kMove, MemoryKernel::swiglu_backward, Bytes{4 * e.activated}, Bytes{28 * e.rows}));
  if (e.late) {
    ops.push_back(e.quantise_both("experts up quantise gradient", e.up_rows));
  } else if (e.fp8) {
    ops.push_back(scaled(cast_transpose_operation("experts quantise activation for wgrad", e.activated)));
    ops.push_back(scaled(cast_operation("experts quantise gradient", e.up_rows)));
    ops.push_back(scaled(scales_operation("experts up dgrad scales", e.up_rows)));
  }
}

// The normed tokens are the operand of the router's, the shared and the routed experts' weight gradients.
void add_norm_again(Operations& ops, const BlockContext& c, const Experts& e) {
  if (!c.plan.recomputes(RecomputeModule::norm) || runs_again(e.routed, c)) return;
  ops.push_back(norm_again(c, "ffn norm"));
  if (e.fp8 && !e.late)
    ops.push_back(cast_operation("quantise normed tokens again", static_cast<double>(e.s.residual_tokens * e.s.hidden)));
}

void add_backward_to_input(Operations& ops, const BlockContext& c, const Experts& e) {
  ops.push_back(grouped_gemm(c, "experts up dgrad", e.s.hidden, e.up_out, GemmLayout::input_gradient));
  ops.push_back(e.moved("unpermute gradients", MemoryKernel::unpermute, 2));
  add_across_channels(ops, c, "experts sum gradients", CollectiveKind::reduce_scatter, 2);
  if (e.fp8 && !e.late) ops.push_back(scaled(cast_transpose_operation("experts quantise gradient for wgrad", e.up_rows)));
  if (!e.has_shared) return;
  if (e.fp8 && !e.late) {
    // Kept in FP8 by rows; the weight gradient wants it by columns (DeepSeek-V3 report, section 3.3.3).
    const Bytes input = e.s.bf16(e.s.hidden);
    ops.push_back(memory_operation("shared expert restore input", kCast, MemoryKernel::cast_bf16, (kFp8Bytes / 2) * input, input));
  }
  const SharedWires wires(c);
  append(ops, wires.input_again);
  add_input_gradient(ops, e.shared_up);
  append(ops, wires.gradient_out);
  add_weight_operands(ops, e.shared_up);
}

void add_experts_weight(Operations& ops, const BlockContext& c, const Experts& e) {
  if (e.has_shared) add_weight_gradient(ops, c, e.shared_down);
  if (e.fp8 && !e.late) ops.push_back(e.gather_rows("experts gather output gradient for wgrad"));
  ops.push_back(grouped_gemm(c, "experts down wgrad", e.r.width, e.s.hidden, GemmLayout::weight_gradient));
  if (e.fp8 && !e.late) ops.push_back(e.gather_rows("experts gather input for wgrad"));
  ops.push_back(grouped_gemm(c, "experts up wgrad", e.s.hidden, e.up_out, GemmLayout::weight_gradient));
  if (e.has_shared) add_weight_gradient(ops, c, e.shared_up);
}

}  // namespace

std::int64_t experts_per_rank(const Model& model, const Plan& plan) {
  return (model.moe->n_routed_experts + plan.redundant_experts + plan.expert_parallel - 1) / plan.expert_parallel;
}

Group replica_pair(const Model& model, const Plan& plan, const Group& expert) {
  if (plan.redundant_experts == 0 || expert.size == 1) return {};
  const std::int64_t experts = model.moe->n_routed_experts;
  const bool near = expert.size <= expert.ranks_per_node ||
                    is_hierarchical(experts, {expert.size, expert.ranks_per_node, model.moe->n_group, experts + plan.redundant_experts});
  return {2, expert.stride, near ? 2 : 1};
}

RoutedShare::RoutedShare(const BlockContext& c) {
  const MixtureOfExperts& moe = *c.model.moe;
  const Sizes s(c);
  local_experts = experts_per_rank(c.model, c.plan);
  const std::int64_t asked = s.residual_tokens * moe.num_experts_per_tok * c.plan.expert_tensor_parallel;
  rows = std::llround(static_cast<double>(asked) * c.routing.served);
  width = moe.moe_intermediate_size / c.plan.expert_tensor_parallel;
  hidden = s.hidden;
  // Fused stacks pad each expert's rows to whole tiles and are measured so; PyTorch's rows are as many as tokens came.
  busiest_expert = c.framework == Framework::fused ? 1.0 : c.routing.tokens_per_expert_max_over_mean;
}

std::vector<std::int64_t> RoutedShare::groups() const {
  std::vector<std::int64_t> m(static_cast<std::size_t>(local_experts), rows / local_experts);
  for (std::int64_t i = 0; i < rows % local_experts; ++i) ++m[static_cast<std::size_t>(i)];
  if (busiest_expert <= 1 || local_experts < 2) return m;
  // Experts' shares fall off like the quantiles of a normal distribution whose largest is the busiest expert's.
  const double n = static_cast<double>(local_experts), mean = static_cast<double>(rows) / n;
  const double steepness = (busiest_expert - 1) / normal_quantile(1 - 0.5 / n);
  std::int64_t left = rows;
  for (std::int64_t i = 0; i < local_experts; ++i) {
    const double share = std::max(0.0, 1 + steepness * normal_quantile((static_cast<double>(i) + 0.5) / n));
    m[static_cast<std::size_t>(i)] = std::min(left, static_cast<std::int64_t>(std::llround(mean * share)));
    left -= m[static_cast<std::size_t>(i)];
  }
  m.back() += left;
  return m;
}

Operation grouped_gemm(const BlockContext& c, const std::string& label, std::int64_t n, std::int64_t k, GemmLayout layout) {
  const RoutedShare r(c);
  return {label, Category::experts, Lane::compute,
          GroupedGemm{.dtype = Sizes(c).linear_type,
                      .m = r.groups(),
                      .n = n,
                      .k = k,
                      .layout = layout,
                      .accumulate_fp32 = layout == GemmLayout::weight_gradient && c.framework == Framework::fused},
          LoadScale::rank_load};
}

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
  if (s.fp8() && !c.runs_apart(UnfusedPart::expert_casts))
    p.forward.push_back(cast_operation("quantise for dispatch", static_cast<double>(s.residual_tokens * s.hidden)));

  add_copies(p.forward, c, "copy tokens for their experts", true);
  add_copies(p.backward, c, "sum gradients of copies", false);
  p.backward.push_back(
      memory_operation("gate top-k backward", Category::gate, MemoryKernel::gate_topk_backward, 14.3 * scores, 10.7 * scores));
  add_input_gradient(p.backward, router);
  add_weight_gradient(p.backward, c, router);
  p.backward.push_back(
      memory_operation("ffn add gradients", Category::norm_and_elementwise, MemoryKernel::add, 2 * s.residual(), s.residual()));
  add_norm_backward(p.backward, c, norm_backward.back());
  if (!c.plan.recomputes(RecomputeModule::moe)) p.saved.push_back({"gate scores", scores});
  return p;
}

Passes routed_feed_forward(const BlockContext& c) {
  const Experts e(c);
  Passes p;
  add_experts_forward(p.forward, c, e);
  add_copies(p.forward, c, "sum experts' outputs", false);
  add_copies(p.backward, c, "copy gradients for experts", true);
  add_shared_backward_to_activation(p.backward, c, e);
  add_routed_backward_to_activation(p.backward, c, e);
  add_norm_again(p.backward, c, e);
  add_backward_to_input(p.backward, c, e);
  add_experts_weight(p.weight, c, e);
  if (!runs_again(e.routed, c)) p.saved.push_back({"expert inputs", e.r.payload(e.fp8 ? kFp8Bytes : 2), LoadScale::rank_load});
  add_saved_activation(p, e.routed, c);
  if (e.has_shared) add_saved_activation(p, e.shared, c);
  p.recompute = shared_again(c, e);
  return p;
}

}  // namespace trillion
