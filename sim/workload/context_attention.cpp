#include "sim/workload/context_attention.h"

#include <algorithm>
#include <cmath>
#include <optional>

namespace trillion {

namespace {

// Keys that a causal query meets in the mean of all layers: half of the sequence, or w - w^2 / 2s under a sliding window w.
double mean_keys(const Model& model, std::int64_t sequence_length) {
  const double s = static_cast<double>(sequence_length);
  double sum = 0;
  for (const std::int64_t window : model.sliding_window) {
    const double w = window > 0 ? std::min(s, static_cast<double>(window)) : s;
    sum += w - w * w / (2 * s);
  }
  return model.sliding_window.empty() ? s / 2 : sum / static_cast<double>(model.sliding_window.size());
}

// One rank's share of a sequence: its tensors and its kernels.
class Share {
 public:
  Share(const BlockContext& c, const CoreAttention& core)
      : c_(c),
        core_(core),
        method_(c.plan.context_parallel > 1 ? std::optional(c.plan.context_parallel_method) : std::nullopt),
        q(Sizes(c).bf16(core.heads * core.qk_dim)),
        kv(Sizes(c).bf16(core.kv_heads * (core.qk_dim + core.v_dim))),
        o(Sizes(c).bf16(core.heads * core.v_dim)) {}

  bool is(ContextParallelMethod method) const { return method_ == method; }
  std::int64_t ranks() const { return c_.plan.context_parallel; }

  // The kernel over the whole sequence, or over one of a ring's blocks of keys: the first is the rank's own, and causal. Layers with a
  // sliding window and layers without are given their mean: blocks of a kind are all alike.
  Attention kernel(Direction direction, std::int64_t step = 0) const { return kernel(direction, step, is(ContextParallelMethod::ring)); }
  Attention kernel(Direction direction, std::int64_t step, bool ring) const {
    const std::int64_t s = c_.training.sequence_length, n = ranks();
    const bool heads = is(ContextParallelMethod::all_to_all);
    Attention a{.dtype = DType::bf16,
                .batch = c_.plan.micro_batch_size,
                .heads = heads ? core_.heads / n : core_.heads,
                .kv_heads = heads ? std::max<std::int64_t>(1, core_.kv_heads / n) : core_.kv_heads,
                .queries = heads ? s : s / n,
                .keys = ring ? s / n : s,
                .qk_dim = core_.qk_dim,
                .v_dim = core_.v_dim,
                .causal = true,
                .direction = direction};
    const double keys = mean_keys(c_.model, s);
    const bool square = a.queries == a.keys && step == 0;
    if (square && keys >= static_cast<double>(s) / 2) return a;
    a.keys = std::max<std::int64_t>(1, std::llround(ring ? keys / static_cast<double>(n) : keys));
    a.causal = false;
    return a;
  }

  Operation run(Direction direction, std::int64_t step = 0) const {
    return {direction == Direction::forward ? "attention" : "attention backward", Category::attention, Lane::compute,
            kernel(direction, step)};
  }

  // FlashAttention's backward: a pass over dO and O for the row sums, the main kernel, the conversion of dQ from FP32.
  void add_backward(Operations& ops, std::int64_t step = 0) const {
    ops.push_back(memory("attention backward preprocess", MemoryKernel::attention_preprocess, 2 * o, 2 * q));
    ops.push_back(run(Direction::backward, step));
    ops.push_back(memory("attention backward postprocess", MemoryKernel::attention_postprocess, 2 * q, q));
  }

  static Operation memory(const char* label, MemoryKernel kernel, Bytes read, Bytes written) {
    return memory_operation(label, Category::attention, kernel, read, written);
  }

  // Accumulates what a ring's step computed: two in, one out.
  static Operation accumulate(const char* label, Bytes tensor) { return memory(label, MemoryKernel::add, 2 * tensor, tensor); }

  Operation exchange(const char* label, CollectiveKind kind, Bytes bytes) const {
    return {label, Category::context_parallel, Lane::context,
            Collective{.kind = kind,
                       .bytes = bytes,
                       .ranks = c_.context.size,
                       .ranks_per_node = c_.context.ranks_per_node,
                       .scale_up_bytes = {},
                       .nic_share = c_.context.nic_share}};
  }

 private:
  const BlockContext& c_;
  const CoreAttention& core_;
  std::optional<ContextParallelMethod> method_;

 public:
  const Bytes q, kv, o;  // of this rank's tokens; kv: keys and values together
};

Operation ordered(Operation op, Order order) {
  op.order = order;
  return op;
}

// Step i attends to the block that the i-th neighbour started with, while the next one is on its way.
Operations ring_forward(const Share& share) {
  Operations ops;
  for (std::int64_t step = 0; step < share.ranks(); ++step) {
    if (step + 1 < share.ranks()) {
      ops.push_back(ordered(share.exchange("attention pass on keys and values", CollectiveKind::send_recv, share.kv), Order::ahead));
    }
    ops.push_back(ordered(share.run(Direction::forward, step), step == 0 ? Order::chain : Order::meets));
    if (step > 0) ops.push_back(Share::accumulate("attention merge outputs", share.o));
  }
  return ops;
}

// The gradients of a block arrive in time to be added to what this rank computed for it.
Operations ring_backward(const Share& share) {
  Operations ops;
  const std::int64_t last = share.ranks() - 1;
  for (std::int64_t step = 0; step <= last; ++step) {
    const Bytes travels = (step < last ? share.kv : Bytes{}) + (step > 0 ? share.kv : Bytes{});
    ops.push_back(
        ordered(share.exchange("attention pass on keys, values and gradients", CollectiveKind::send_recv, travels), Order::ahead));
    const std::size_t begin = ops.size();
    share.add_backward(ops, step);
    if (step == 1) ops[begin].order = Order::meets;  // later blocks were met with the gradients before them
    if (step == 0) continue;
    ops.push_back(Share::accumulate("attention add query gradients", share.q));
    ops.push_back(ordered(Share::accumulate("attention add key and value gradients", share.kv), Order::meets));
  }
  ops.push_back(share.exchange("attention bring gradients home", CollectiveKind::send_recv, share.kv));
  return ops;
}

}  // namespace

Attention ring_block(const BlockContext& c, const CoreAttention& core, Direction direction, std::int64_t step) {
  return Share(c, core).kernel(direction, step, true);
}

Operation context_exchange(const BlockContext& c, const char* label, CollectiveKind kind, Bytes bytes) {
  return Share(c, {}).exchange(label, kind, bytes);
}

CoreAttention core_attention(const BlockContext& c, std::int64_t qk_dim, std::int64_t v_dim) {
  return {c.model.num_attention_heads / c.plan.tensor_parallel,
          std::max<std::int64_t>(1, c.model.num_key_value_heads / c.plan.tensor_parallel), qk_dim, v_dim};
}

Operations core_forward(const BlockContext& c, const CoreAttention& core) {
  const Share share(c, core);
  const double ranks = static_cast<double>(share.ranks());
  if (share.is(ContextParallelMethod::ring)) return ring_forward(share);
  Operations ops;
  if (share.is(ContextParallelMethod::all_gather)) {
    ops.push_back(share.exchange("attention gather keys and values", CollectiveKind::all_gather, share.kv * ranks));
  }
  const bool trades = share.is(ContextParallelMethod::all_to_all);
  if (trades) ops.push_back(share.exchange("attention trade tokens for heads", CollectiveKind::all_to_all, share.q + share.kv));
  ops.push_back(share.run(Direction::forward));
  if (trades) ops.push_back(share.exchange("attention trade heads for tokens", CollectiveKind::all_to_all, share.o));
  return ops;
}

Operations core_backward(const BlockContext& c, const CoreAttention& core) {
  const Share share(c, core);
  const double ranks = static_cast<double>(share.ranks());
  if (share.is(ContextParallelMethod::ring)) return ring_backward(share);
  const bool gathers = share.is(ContextParallelMethod::all_gather), trades = share.is(ContextParallelMethod::all_to_all);
  Operations ops;
  if (gathers) {
    ops.push_back(share.exchange("attention gather keys and values again", CollectiveKind::all_gather, share.kv * ranks));
  }
  if (trades) ops.push_back(share.exchange("attention trade tokens for heads, gradient", CollectiveKind::all_to_all, share.o));
  share.add_backward(ops);
  if (gathers) {
    ops.push_back(share.exchange("attention reduce gradient of keys and values", CollectiveKind::reduce_scatter, share.kv * ranks));
  }
  if (trades) {
    ops.push_back(share.exchange("attention trade heads for tokens, gradient", CollectiveKind::all_to_all, share.q + share.kv));
  }
  return ops;
}

}  // namespace trillion
