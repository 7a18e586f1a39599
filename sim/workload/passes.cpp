#include "sim/workload/passes.h"

namespace trillion {

Sizes::Sizes(const BlockContext& c)
    : tokens(c.plan.micro_batch_size * c.training.sequence_length / c.plan.context_parallel),
      residual_tokens(c.plan.sequence_parallel ? tokens / c.plan.tensor_parallel : tokens),
      sequences(c.plan.micro_batch_size),
      hidden(c.model.hidden_size),
      tensor(c.plan.tensor_parallel),
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
  const Bytes residual = Sizes(c).residual(), mask = c.unfused_attention ? 0.5 * residual : Bytes{};
  constexpr auto kPart = Category::norm_and_elementwise;
  p.forward.push_back(memory_operation(name + " residual", kPart, MemoryKernel::add, 2 * residual, residual + mask));
  if (!c.unfused_attention) return;
  p.backward.insert(p.backward.begin(),
                    memory_operation(name + " dropout backward", kPart, MemoryKernel::dropout, residual + mask, residual));
  p.saved.push_back({name + " dropout mask", mask, LoadScale::none, Module::norms});
}

namespace {

Operation tensor_collective(const BlockContext& c, const std::string& label, CollectiveKind kind) {
  const Sizes s(c);
  return {label, Category::tensor_parallel, Lane::tensor,
          Collective{.kind = kind,
                     .bytes = s.bf16(s.hidden),
                     .ranks = c.tensor.size,
                     .ranks_per_node = c.tensor.ranks_per_node,
                     .scale_up_bytes = {},
                     .nic_share = c.tensor.nic_share}};
}

}  // namespace

EntryBackward add_tensor_entry(Passes& p, const BlockContext& c, const std::string& name) {
  if (c.plan.tensor_parallel == 1) return {};
  const bool beside = c.plan.tensor_parallel_overlap != TensorOverlap::none;
  EntryBackward back;
  if (c.plan.sequence_parallel) {
    p.forward.push_back(tensor_collective(c, name + " all-gather", CollectiveKind::all_gather));
    back.before = {tensor_collective(c, name + " all-gather input again", CollectiveKind::all_gather)};
    back.after = {tensor_collective(c, name + " reduce-scatter gradient", CollectiveKind::reduce_scatter)};
    if (beside) back.before.back().order = Order::ahead;
  } else {
    back.after = {tensor_collective(c, name + " all-reduce gradient", CollectiveKind::all_reduce)};
  }
  if (beside) back.after.back().order = Order::before_weights;
  return back;
}

void add_tensor_exit(Passes& p, const BlockContext& c, const std::string& name) {
  if (c.plan.tensor_parallel == 1) return;
  if (c.plan.sequence_parallel) {
    p.forward.push_back(tensor_collective(c, name + " reduce-scatter", CollectiveKind::reduce_scatter));
    p.backward.insert(p.backward.begin(), tensor_collective(c, name + " all-gather gradient", CollectiveKind::all_gather));
  } else {
    p.forward.push_back(tensor_collective(c, name + " all-reduce", CollectiveKind::all_reduce));
  }
}

}  // namespace trillion
