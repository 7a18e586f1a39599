#include "sim/workload/passes.h"

#include <utility>

#include "sim/base/rounding.h"
#include "sim/workload/tensor_overlap.h"

namespace trillion {

Sizes::Sizes(const BlockContext& c)
    : tokens(c.plan.micro_batch_size * c.training.sequence_length / c.plan.context_parallel),
      residual_tokens(c.plan.sequence_parallel ? tokens / c.plan.tensor_parallel : tokens),
      sequences(c.plan.micro_batch_size),
      hidden(c.model.hidden_size),
      tensor(c.plan.tensor_parallel),
      vocabulary(divided_up(c.model.vocab_size, tensor)),
      linear_type(c.plan.precision == Precision::fp8 ? c.fp8_type : DType::bf16) {}

Operation again(Operation op) {
  op.label += " again";
  if (!is_communication(op.category)) op.category = Category::recompute;
  return op;
}

Operations again(const Operations& ops) {
  Operations out;
  for (const Operation& op : ops) out.push_back(again(op));
  return out;
}

Operation norm_again(const BlockContext& c, const std::string& name) {
  const Sizes s(c);
  const MemoryKernel kernel = c.model.normalisation == Normalisation::rms_norm ? MemoryKernel::rms_norm : MemoryKernel::layer_norm;
  return memory_operation(name + " again", Category::recompute, kernel, s.residual(), s.residual());
}

void add_norm(Passes& p, const BlockContext& c, const std::string& name, bool joined) {
  const Sizes s(c);
  const bool rms = c.model.normalisation == Normalisation::rms_norm;
  const MemoryKernel forward = rms ? MemoryKernel::rms_norm : MemoryKernel::layer_norm;
  const MemoryKernel backward = rms ? MemoryKernel::rms_norm_backward : MemoryKernel::layer_norm_backward;
  const Bytes moved = joined ? 2 * s.residual() : s.residual();
  p.forward.push_back(memory_operation(joined ? "residual and " + name : name, Category::norm_and_elementwise, forward, moved, moved));
  p.saved.push_back({name + " input", s.residual(), LoadScale::none, Module::norms});
  if (c.plan.recomputes(RecomputeModule::norm)) {
    p.backward.insert(p.backward.begin(), norm_again(c, name));
  } else {
    p.saved.push_back({name + " output", s.residual(), LoadScale::none, Module::norms});
  }
  // Reads the gradients of output and residual and the input, writes the input's gradient. The output's gradient may still be on its
  // way from the tensor-parallel ranks.
  p.backward.push_back(memory_operation(name + " backward", Category::norm_and_elementwise, backward, 3 * s.residual(), s.residual()));
  if (c.plan.tensor_parallel > 1 && c.plan.tensor_parallel_overlap != TensorOverlap::none) p.backward.back().order = Order::meets_all;
}

void add_residual(Passes& p, const BlockContext& c, const std::string& name) {
  const Bytes residual = Sizes(c).residual(), mask = c.drops_out() ? 0.5 * residual : Bytes{};
  constexpr auto kPart = Category::norm_and_elementwise;
  p.forward.push_back(memory_operation(name + " residual", kPart, MemoryKernel::add, 2 * residual, residual + mask));
  if (!c.drops_out()) return;
  p.backward.insert(p.backward.begin(),
                    memory_operation(name + " dropout backward", kPart, MemoryKernel::dropout_backward, residual + mask, residual));
  p.saved.push_back({name + " dropout mask", mask, LoadScale::none, Module::norms});
}

namespace {

// The collectives of one pair of layers, each with the copy that DTensor makes around it (UnfusedPart::sequence_copies).
class TensorParallel {
 public:
  enum class Sums { in_pieces, whole };  // of several products, beside the last of them or after all

  TensorParallel(const BlockContext& c, std::string name, DType products) : c_(c), name_(std::move(name)), products_(products) {}

  Operations gather(const char* what) const {
    const double value = products_ == DType::bf16 ? 2 : products_ == DType::fp8 ? 1 : kFp8Bytes;
    Operations ops{collective(what, CollectiveKind::all_gather, value)};
    // A single sequence's pieces lie one behind the other as they arrive.
    if (copies() && c_.plan.micro_batch_size > 1) ops.push_back(copy(what, value));
    return ops;
  }
  Operations reduce_scatter(const char* what, Sums sums = Sums::in_pieces) const {
    Operations ops;
    if (copies(sums)) ops.push_back(copy(what, 2));
    ops.push_back(collective(what, CollectiveKind::reduce_scatter, 2));
    return ops;
  }
  Operations all_reduce(const char* what) const { return {collective(what, CollectiveKind::all_reduce, 2)}; }

 private:
  // Pieces that run beside their own product are taken from where they lie.
  bool copies(Sums sums = Sums::in_pieces) const {
    const bool pieces = c_.plan.tensor_parallel_overlap == TensorOverlap::pipelined && sums == Sums::in_pieces;
    return c_.runs_apart(UnfusedPart::sequence_copies) && !pieces;
  }
  Bytes bytes(double value) const {
    const Sizes s(c_);
    return Bytes{value * static_cast<double>(s.tokens) * static_cast<double>(s.hidden)};
  }
  Operation collective(const char* what, CollectiveKind kind, double value) const {
    return {name_ + " " + what, Category::tensor_parallel, Lane::tensor,
            Collective{.kind = kind,
                       .bytes = bytes(value),
                       .ranks = c_.tensor.size,
                       .ranks_per_node = c_.tensor.ranks_per_node,
                       .scale_up_bytes = {},
                       .nic_share = c_.tensor.nic_share}};
  }
  Operation copy(const char* what, double value) const {
    return memory_operation(name_ + " " + what + " copy", Category::norm_and_elementwise, MemoryKernel::torch_cat, bytes(value),
                            bytes(value));
  }

  const BlockContext& c_;
  std::string name_;
  DType products_;
};

}  // namespace

EntryBackward add_tensor_entry(Passes& p, const BlockContext& c, const std::string& name, DType products) {
  if (c.plan.tensor_parallel == 1) return {};
  const TensorParallel tensor(c, name, products);
  // PyTorch's pieces (workload/tensor_overlap.h) leave what several products add up to alone.
  const bool pieces_only = c.framework != Framework::fused && c.plan.tensor_parallel_overlap == TensorOverlap::pipelined;
  const bool beside = c.plan.tensor_parallel_overlap != TensorOverlap::none && !pieces_only;
  EntryBackward back;
  if (c.plan.sequence_parallel) {
    append(p.forward, tensor.gather("all-gather"));
    back.before = tensor.gather("all-gather input again");
    back.after =
        tensor.reduce_scatter("reduce-scatter gradient", pieces_only ? TensorParallel::Sums::whole : TensorParallel::Sums::in_pieces);
    if (beside) back.before.front().order = Order::ahead;
  } else {
    back.after = tensor.all_reduce("all-reduce gradient");
  }
  if (beside) back.after.back().order = Order::before_weights;
  return back;
}

void add_tensor_exit(Passes& p, const BlockContext& c, const std::string& name, DType products) {
  if (c.plan.tensor_parallel == 1) return;
  const TensorParallel tensor(c, name, products);
  if (c.plan.sequence_parallel) {
    append(p.forward, tensor.reduce_scatter("reduce-scatter"));
    const Operations gather = tensor.gather("all-gather gradient");
    p.backward.insert(p.backward.begin(), gather.begin(), gather.end());
  } else {
    append(p.forward, tensor.all_reduce("all-reduce"));
  }
}

}  // namespace trillion
