#include "sim/workload/torch_context.h"

#include <string>
#include <utility>

#include "sim/workload/torch_kernels.h"

namespace trillion {

namespace {

class Ring {
 public:
  Ring(const BlockContext& c, const CoreAttention& core)
      : c_(c),
        core_(core),
        compiled_(c.framework == Framework::torch_compiled),
        gathers_(c.plan.context_parallel_method == ContextParallelMethod::all_gather) {
    const double tokens = static_cast<double>(Sizes(c).tokens);
    q_ = tokens * static_cast<double>(core.heads * core.qk_dim);
    o_ = tokens * static_cast<double>(core.heads * core.v_dim);
    kv_ = tokens * static_cast<double>(core.kv_heads * (core.qk_dim + core.v_dim));
    lse_ = tokens * static_cast<double>(core.heads);
  }

  Operations forward() {
    set_out();
    for (std::int64_t step = 0; step < ranks(); ++step) {
      send_on(step);
      attend(Direction::forward, step);
      merge(step);
    }
    if (!compiled_) add("attention output to BF16", MemoryKernel::torch_cast_bf16, 4 * o_, 2 * o_);
    return std::move(ops_);
  }

  Operations backward() { return compiled_ ? compiled_backward() : eager_backward(); }

 private:
  std::int64_t ranks() const { return c_.plan.context_parallel; }
  // Of an exchange, and of what first reads its result.
  Order leaves() const { return compiled_ ? Order::chain : Order::ahead; }
  Order arrives() const { return compiled_ ? Order::chain : Order::meets; }

  void add(const std::string& label, MemoryKernel kernel, double read, double written, Order order = Order::chain) {
    Operation op = torch_kernel(label, kernel, read, written);
    op.category = Category::attention;
    op.order = order;
    ops_.push_back(op);
  }
  void exchange(const char* label, CollectiveKind kind, double bytes) {
    ops_.push_back(context_exchange(c_, label, kind, Bytes{bytes}));
    ops_.back().order = leaves();
  }

  // To contiguous tensors, then to one.
  void set_out() {
    const MemoryKernel kernel = compiled_ ? MemoryKernel::copy : MemoryKernel::torch_cat;
    add("attention copy keys", kernel, kv_, kv_);
    add("attention copy values", kernel, kv_, kv_);
    add("attention join keys and values", kernel, 2 * kv_, 2 * kv_);
    if (gathers_) exchange("attention gather keys and values", CollectiveKind::all_gather, 2 * kv_ * static_cast<double>(ranks()));
  }
  // A ring's block leaves as the step before the one that reads it begins; compiled, just before it is read.
  void send_on(std::int64_t step) {
    if (gathers_ || (compiled_ ? step == 0 : step + 1 == ranks())) return;
    exchange("attention pass on keys and values", CollectiveKind::send_recv, 2 * kv_);
  }

  void attend(Direction direction, std::int64_t step) {
    const bool waits = step > 0 && (!gathers_ || step == 1);
    Attention kernel = ring_block(c_, core_, direction, step);
    kernel.library = c_.attention;
    const bool forward = direction == Direction::forward;
    ops_.push_back({forward ? "attention" : "attention backward", Category::attention, Lane::compute, kernel});
    if (waits) ops_.back().order = arrives();
  }

  void merge(std::int64_t step) {
    if (compiled_) {
      if (step == 0) return;
      add("attention merge outputs", MemoryKernel::add, (step == 1 ? 4 : 6) * o_, (step + 1 == ranks() ? 2 : 4) * o_);
      return;
    }
    add("attention output to FP32", MemoryKernel::torch_cast_fp32, 2 * o_, 4 * o_);
    if (step == 0) return;
    for (const char* name : {"log-sum-exp difference", "sigmoid"})
      add(std::string("attention ") + name, MemoryKernel::torch_neg, 4 * lse_, 4 * lse_);
    add("attention output difference", MemoryKernel::torch_add, 8 * o_, 4 * o_);
    add("attention difference weighted", MemoryKernel::torch_neg, 4 * o_, 4 * o_);
    add("attention merge outputs", MemoryKernel::torch_add, 8 * o_, 4 * o_);
    for (const char* name : {"log-sum-exp difference back", "logarithm of sigmoid", "merge log-sum-exps"})
      add(std::string("attention ") + name, MemoryKernel::torch_neg, 4 * lse_, 4 * lse_);
  }

  Operations eager_backward() {
    for (const auto& [name, values] : {std::pair{"queries", q_}, std::pair{"keys", kv_ / 2}, std::pair{"values", kv_ / 2}})
      add(std::string("attention zero gradient of ") + name, MemoryKernel::torch_zero, 0, 4 * values);
    set_out();
    for (std::int64_t step = 0; step < ranks(); ++step) {
      send_on(step);
      attend(Direction::backward, step);
      add_key_and_value_gradients(step, step > 0 ? Order::meets : Order::chain);
      pass_gradients_on();
      add("attention add gradients of queries", MemoryKernel::torch_add, 6 * q_, 4 * q_);
    }
    add("attention query gradients to BF16", MemoryKernel::torch_cast_bf16, 4 * q_, 2 * q_);
    add("attention key and value gradients to BF16", MemoryKernel::torch_cast_bf16, 4 * kv_, 2 * kv_, Order::meets);
    return std::move(ops_);
  }

  // All kernels of attention come first: they need nothing of each other.
  Operations compiled_backward() {
    for (std::int64_t step = 0; step < ranks(); ++step) attend(Direction::backward, step);
    for (std::int64_t step = 0; step < ranks(); ++step) {
      if (step == 0)
        add("attention join gradients of keys and values", MemoryKernel::copy, 2 * kv_, 4 * kv_);
      else
        add_key_and_value_gradients(step, Order::chain);
      pass_gradients_on();
    }
    add("attention add gradients of queries", MemoryKernel::add, 2 * static_cast<double>(ranks()) * q_, 2 * q_);
    add("attention key and value gradients to BF16", MemoryKernel::copy, 4 * kv_, 2 * kv_);
    return std::move(ops_);
  }

  // BF16 on FP32. Of a block that came, only the half that was attended to; then the whole is put together again, and keys with values.
  void add_key_and_value_gradients(std::int64_t step, Order first) {
    const double values = step == 0 ? kv_ / 2 : kv_ / 4;
    for (const char* name : {"keys", "values"}) {
      if (compiled_) {
        add(std::string("attention add gradients of ") + name, MemoryKernel::add, 2.5 * kv_, 2 * kv_, first);
      } else {
        add(std::string("attention add gradients of ") + name, MemoryKernel::torch_add, 6 * values, 4 * values, first);
        add(std::string("attention gradients of ") + name + " in one piece", MemoryKernel::torch_cat, 2 * kv_, 2 * kv_);
      }
      first = Order::chain;
    }
    add("attention join gradients of keys and values", compiled_ ? MemoryKernel::copy : MemoryKernel::torch_cat, 4 * kv_, 4 * kv_);
  }
  void pass_gradients_on() { exchange("attention pass on gradients of keys and values", CollectiveKind::send_recv, 4 * kv_); }

  const BlockContext& c_;
  CoreAttention core_;
  bool compiled_, gathers_;
  double q_ = 0, o_ = 0, kv_ = 0, lse_ = 0;  // values of this rank's tokens; kv: keys and values together
  Operations ops_;
};

}  // namespace

bool rotates_in_torch(const BlockContext& c) {
  return c.framework != Framework::fused && c.plan.context_parallel > 1 &&
         c.plan.context_parallel_method != ContextParallelMethod::all_to_all;
}

Operations torch_ring_forward(const BlockContext& c, const CoreAttention& core) { return Ring(c, core).forward(); }
Operations torch_ring_backward(const BlockContext& c, const CoreAttention& core) { return Ring(c, core).backward(); }

}  // namespace trillion
