// The routed feed-forward network in eager PyTorch: sort the token copies by expert, grouped products, add the results up.
#include <string>
#include <utility>

#include "sim/workload/experts.h"
#include "sim/workload/torch_kernels.h"

namespace trillion {

namespace {

Operation scaled(Operation op) {
  op.scale = LoadScale::rank_load;
  return op;
}

Operation gate_kernel(const std::string& label, double read, double written) {
  Operation op = torch_unary(label, read, written);
  op.category = Category::gate;
  return op;
}

// Calls that cost the host more than an elementwise one, in such calls beyond the first, as calibration/steps/torch_kernels.py measures
// them (raw/h100/torch-ninth-host.jsonl, "ranks": 1): topk selects and sorts; argsort is a radix sort of 64-bit keys with their places, a
// histogram, its scan, and eight passes of eight bits; counts travel by an NCCL call; repeat_interleave sums up, searches and copies.
constexpr int kTopkCalls = 3, kSortCalls = 4, kCountsCalls = 4, kRepeatCalls = 6, kToHostCalls = 2;

Operation router_call(const std::string& label, MemoryKernel kernel, double read, double written) {
  Operation op = torch_kernel(label, kernel, read, written);
  op.category = Category::gate;
  return op;
}

// Rows of token copies added to their tokens in BF16: the kernel's time is its atomic additions, one per value, which its rows count
// as ten bytes.
Operation add_rows(const std::string& label, double values) {
  return scaled(torch_kernel(label, MemoryKernel::torch_index_add_bf16, 6 * values, 4 * values));
}

Operation moved(const std::string& label, double values) {
  return scaled(torch_kernel(label, MemoryKernel::torch_index_select, 2 * values, 2 * values));
}

// The gradient of moved(): rows added to zeros, one by one, though no two meet.
void add_moved_backward(Operations& ops, const std::string& label, double values) {
  ops.push_back(scaled(torch_kernel(label + ": zero", MemoryKernel::torch_zero, 0, 2 * values)));
  ops.push_back(add_rows(label, values));
}

// Experts on several ranks (calibration/steps/parallel_layers.py): the host must know how many rows come from and go to each rank before
// it can size the exchange, so it waits for the counts, which travel first (a few microseconds, not modelled). Rows arrive by sender and
// are brought into the order of experts, then back.
void add_counts(Operations& forward, const MixtureOfExperts& moe) {
  const double experts = 8 * static_cast<double>(moe.n_routed_experts);
  forward.push_back(gate_kernel("counts to ranks", experts, experts));
  forward.back().host_calls = kCountsCalls;
  for (const char* label : {"rows to ranks", "rows from ranks", "counts for the host"}) forward.push_back(gate_kernel(label, experts, 16));
  forward.back().host_calls = kToHostCalls;
  forward.back().host_waits = true;
}

void add_order_by_expert(Operations& forward, double rows, double wide_rows) {
  for (const char* label : {"expert of a row: numbers", "expert of a row: repeated"})
    forward.push_back(scaled(gate_kernel(label, 0, 8 * rows)));
  forward.back().host_calls = kRepeatCalls;
  forward.push_back(scaled(gate_kernel("ends of repeats", 8, 8)));
  forward.push_back(scaled(router_call("sort rows by expert", MemoryKernel::torch_argsort, 8 * rows, 8 * rows)));
  forward.back().host_calls = kSortCalls;
  forward.push_back(moved("rows by expert", wide_rows));
}

void add_order_by_sender(Operations& forward, double rows, double wide_rows) {
  forward.push_back(scaled(gate_kernel("places of rows", 0, 8 * rows)));
  forward.push_back(scaled(gate_kernel("places turned over", 16 * rows, 8 * rows)));
  forward.push_back(moved("rows by sender", wide_rows));
}

}  // namespace

Passes torch_gate(const BlockContext& c) {
  const TorchSizes t(c);
  const MixtureOfExperts& moe = *c.model.moe;
  const double tokens = static_cast<double>(t.s.residual_tokens), scores = tokens * static_cast<double>(moe.n_routed_experts);
  const double copies = tokens * static_cast<double>(moe.num_experts_per_tok);
  Passes norm, router, p;
  // The normed tokens are read by the router, the gather of rows and the shared experts' two projections.
  add_torch_norm(norm, t, "ffn norm", 2 + (moe.shared_intermediate_size > 0 ? 2 : 0));
  add_torch_linear(router, c, {"gate", t.s.residual_tokens, t.s.hidden, moe.n_routed_experts, Category::gate, DType::bf16});
  append(p.forward, norm.forward);
  append(p.forward, router.forward);
  p.forward.push_back(gate_kernel("gate scores to FP32", 2 * scores, 4 * scores));
  p.forward.push_back(router_call("gate softmax", MemoryKernel::torch_softmax, 4 * scores, 4 * scores));
  p.forward.push_back(router_call("gate top-k", MemoryKernel::torch_topk, 4 * scores, 12 * copies));
  p.forward.back().host_calls = kTopkCalls;
  p.forward.push_back(router_call("sort tokens by expert", MemoryKernel::torch_argsort, 8 * copies, 8 * copies));
  p.forward.back().host_calls = kSortCalls;
  p.forward.push_back(gate_kernel("token of a copy", 8 * copies, 8 * copies));
  // torch.bincount asks the device for the smallest and the largest value before it can allocate its result.
  for (const char* label : {"smallest expert", "largest expert"}) {
    p.forward.push_back(gate_kernel(label, 8 * copies, 8));
    p.forward.back().host_waits = true;
  }
  p.forward.push_back(gate_kernel("count tokens of experts", 8 * copies, 8 * static_cast<double>(moe.n_routed_experts)));
  if (c.plan.expert_parallel > 1) add_counts(p.forward, moe);
  p.forward.push_back(
      gate_kernel("ends of experts", 8 * static_cast<double>(moe.n_routed_experts), 4 * static_cast<double>(moe.n_routed_experts)));

  p.backward.push_back(gate_kernel("gate top-k backward", 12 * copies, 4 * scores));
  p.backward.push_back(gate_kernel("gate softmax backward", 8 * scores, 4 * scores));
  p.backward.push_back(gate_kernel("gate gradient to BF16", 4 * scores, 2 * scores));
  append(p.backward, router.backward);
  append(p.backward, norm.backward);
  if (!t.compiled) {
    p.backward.push_back(torch_kernel("ffn residual add gradients", MemoryKernel::torch_add, 2 * t.wide * t.residual, t.wide * t.residual));
  }
  p.weight = router.weight;
  p.saved = norm.saved;
  p.saved.push_back({"gate scores", Bytes{4 * scores}});
  p.saved.push_back({"chosen experts", Bytes{(8.0 + 4 + 8 + 8) * copies}});
  return p;
}

Passes torch_experts(const BlockContext& c) {
  const TorchSizes t(c);
  const MixtureOfExperts& moe = *c.model.moe;
  const RoutedShare r(c);
  const double rows = static_cast<double>(r.rows), hidden = static_cast<double>(r.hidden);
  const double wide_rows = rows * hidden, inner = rows * static_cast<double>(r.width);
  const bool gated = c.model.activation == Activation::swiglu;
  Passes p, activation;
  const bool apart = c.plan.expert_parallel > 1;
  p.forward.push_back(moved("gather rows", wide_rows));
  if (apart) add_order_by_expert(p.forward, rows, wide_rows);
  if (gated) p.forward.push_back(grouped_gemm(c, "experts gate", r.width, r.hidden, GemmLayout::forward));
  p.forward.push_back(grouped_gemm(c, "experts up", r.width, r.hidden, GemmLayout::forward));
  add_torch_activation(activation, t, {"experts", inner, gated, LoadScale::rank_load});
  append(p.forward, activation.forward);
  p.forward.push_back(grouped_gemm(c, "experts down", r.hidden, r.width, GemmLayout::forward));
  if (apart) add_order_by_sender(p.forward, rows, wide_rows);
  p.forward.push_back(gate_kernel("routing weights of rows", 12 * rows, 6 * rows));
  p.forward.push_back(scaled(torch_kernel("times routing weight", MemoryKernel::torch_mul_rows, 2 * wide_rows, 2 * wide_rows)));
  p.forward.push_back(torch_kernel(kZeroedResult, MemoryKernel::torch_zero, 0, 2 * t.residual));
  p.forward.push_back(torch_kernel("copy result", MemoryKernel::torch_copy, 2 * t.residual, 2 * t.residual));
  p.forward.push_back(add_rows("add rows to tokens", wide_rows));

  p.backward.push_back(moved("gather gradients", wide_rows));
  p.backward.push_back(scaled(torch_kernel("times routing weight backward", MemoryKernel::torch_mul_rows, 2 * wide_rows, 2 * wide_rows)));
  p.backward.push_back(scaled(torch_kernel("gradient of routing weights", MemoryKernel::torch_mul, 4 * wide_rows, 2 * wide_rows)));
  p.backward.push_back(scaled(torch_unary("sum gradient of routing weights", 2 * wide_rows, 2 * rows)));
  if (apart) add_moved_backward(p.backward, "rows by sender backward", wide_rows);
  p.backward.push_back(grouped_gemm(c, "experts down dgrad", r.width, r.hidden, GemmLayout::input_gradient));
  append(p.backward, activation.backward);
  for (const char* label : {"experts up dgrad", "experts gate dgrad"}) {
    if (gated || label[8] == 'u') p.backward.push_back(grouped_gemm(c, label, r.hidden, r.width, GemmLayout::input_gradient));
  }
  if (gated) p.backward.push_back(scaled(torch_kernel("experts add gradients", MemoryKernel::torch_add, 4 * wide_rows, 2 * wide_rows)));
  if (apart) add_moved_backward(p.backward, "rows by expert backward", wide_rows);
  p.backward.push_back(torch_kernel("zero gradient", MemoryKernel::torch_zero, 0, 2 * t.residual));
  p.backward.push_back(add_rows("add gradients to tokens", wide_rows));
  p.weight.push_back(grouped_gemm(c, "experts down wgrad", r.width, r.hidden, GemmLayout::weight_gradient));
  p.weight.push_back(grouped_gemm(c, "experts up wgrad", r.hidden, r.width, GemmLayout::weight_gradient));
  if (gated) p.weight.push_back(grouped_gemm(c, "experts gate wgrad", r.hidden, r.width, GemmLayout::weight_gradient));
  const double weights = static_cast<double>(r.local_experts) * hidden * static_cast<double>(r.width) * (gated ? 3 : 2);
  const double reached = 1 - 1 / t.micro_batches;
  if (reached > 0) {
    p.weight.push_back(
        torch_kernel("experts accumulate", MemoryKernel::torch_accumulate, 2 * t.wide * weights * reached, t.wide * weights * reached));
  }
  p.saved.push_back({"expert inputs", Bytes{2 * wide_rows}, LoadScale::rank_load});
  p.saved.insert(p.saved.end(), activation.saved.begin(), activation.saved.end());
  // Before and after the routing weight: index_add keeps its source for the shape that its gradient takes, compiled its zeros.
  p.saved.push_back({"expert outputs", Bytes{(t.compiled ? 2 : 4) * wide_rows}, LoadScale::rank_load});
  if (t.compiled) p.saved.push_back({"zeros under the experts' sum", Bytes{2 * t.residual}});

  if (moe.shared_intermediate_size > 0) {
    Passes shared;
    add_torch_feed_forward(shared, c, {"shared expert", t.s.tokens, moe.shared_intermediate_size / t.s.tensor, Category::experts});
    append(p.forward, shared.forward);
    p.forward.push_back(torch_kernel("add shared expert", MemoryKernel::torch_add, 4 * t.residual, 2 * t.residual));
    append(p.backward, shared.backward);
    append(p.weight, shared.weight);
    p.saved.insert(p.saved.end(), shared.saved.begin(), shared.saved.end());
  }
  if (!t.compiled) add_torch_residual(p, t, "ffn residual");
  return p;
}

}  // namespace trillion
