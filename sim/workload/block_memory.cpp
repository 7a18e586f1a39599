#include "sim/workload/block_memory.h"

#include <algorithm>

#include "sim/workload/lower.h"
#include "sim/workload/torch.h"
#include "sim/workload/torch_tensors.h"

namespace trillion {

namespace {

using ModuleBytes = BlockMemory::ModuleBytes;

// What one micro-batch leaves behind in a block.
ModuleBytes saved_by_module(const Block& block, const LayerRouting& routing) {
  ModuleBytes bytes{};
  for (const SavedTensor& t : block.saved) {
    bytes[static_cast<std::size_t>(t.module)] += t.bytes * (t.scale == LoadScale::rank_load ? routing.rank_load_max_over_mean : 1.0);
  }
  return bytes;
}

// Gradients on their way back through a block: what a kernel reads of the one before it, and what it writes. What the forward pass
// writes is saved, and counted as such; weight gradients go to the gradient buffer.
Bytes largest_gradients(const Block& b) {
  Bytes largest;
  for (const Operations* ops : {&b.experts_backward, &b.before_exchange_backward}) {
    Bytes before;
    for (const Operation& op : *ops) {
      const Bytes now = left_in_memory(op);
      largest = std::max(largest, before + now);
      if (!op.in_place) before = now;
    }
  }
  return largest;
}

// Bytes that the block's backward pass computes again: what it would have kept without recomputation, less what it did keep. Whole
// layers come back at once, modules one after the other.
Bytes restored_bytes(const ModuleBytes& all, const ModuleBytes& saved, bool at_once) {
  Bytes together, largest;
  for (std::size_t m = 0; m < kModuleCount; ++m) {
    const Bytes back = std::max(Bytes{}, all[m] - saved[m]);
    together += back;
    largest = std::max(largest, back);
  }
  return at_once ? together : largest;
}

// What the lives of a PyTorch block's tensors say. The ends of a model that is not one graph say it by formula (workload/torch_ends.cpp).
void take_from_tape(Block& b, const BlockContext& c) {
  const double message = Sizes(c).residual().value() * (c.autocast() ? 2 : 1);
  const BackwardBytes bytes = backward_bytes(torch_tensors(b.kind, c, c.routing.rank_load_max_over_mean),
                                             b.kind == BlockKind::embedding ? 0 : message, b.kind == BlockKind::head ? 0 : message);
  b.transient = Bytes{bytes.largest};
  b.kept_to_the_end = Bytes{bytes.left};
}

}  // namespace

BlockMemory::BlockMemory(const Scenario& scenario, const DeviceMesh& mesh, const LayerRouting& routing)
    : context_(block_context(scenario, mesh, routing)), without_(scenario.plan) {
  without_.recompute.clear();
}

const BlockMemory::Of& BlockMemory::of(BlockKind kind) {
  std::optional<Of>& made = made_[static_cast<std::size_t>(kind)];
  if (made) return *made;
  const BlockContext& c = context_;
  made.emplace();
  made->block = make_block(kind, c);
  if (c.framework != Framework::fused && (is_layer(kind) || is_one_graph(c))) take_from_tape(made->block, c);
  made->saved = saved_by_module(made->block, c.routing);
  if (!c.plan.recompute.empty()) {
    const bool whole_layers = c.plan.recomputes(RecomputeModule::layer);
    made->restored = restored_bytes(saved_by_module(make_block(kind, with_plan(c, without_)), c.routing), made->saved, whole_layers);
  }
  made->largest_gradients = largest_gradients(made->block);
  return *made;
}

}  // namespace trillion
