#include "sim/workload/torch_memory.h"

#include <algorithm>

namespace trillion {

StageMemory torch_memory(const TorchRank& rank, const BlockContext& c, Bytes workspace) {
  const bool wide = c.training.optimizer_state.master_weight_bytes > 0, sharded = c.plan.sharding == Sharding::zero_3;
  const Bytes parameter{wide ? 4.0 : 2.0};
  double whole = 0, largest = 0;
  for (const Block* b : rank.blocks) {
    whole += b->parameters.total();
    largest = std::max(largest, b->parameters.total());
  }
  // FSDP: the shard, and in BF16 the blocks that compute and come next. What a block's gradients add to the shard's.
  const double part = sharded && whole > 0 ? rank.optimizer_shard / whole : 1;
  const Bytes reduced{sharded ? static_cast<double>(c.training.optimizer_state.gradient_reduce_bytes) : 0.0};

  StageMemory m;
  m.parameters = parameter * (part * whole) + (sharded ? Bytes{2} * std::min(whole, 2 * largest) : Bytes{});
  m.optimizer = Bytes{2.0 * static_cast<double>(c.training.optimizer_state.moment_bytes)} * rank.optimizer_shard;
  Bytes fullest;
  const auto moment = [&](Bytes gradients, Bytes activations, Bytes transient) {
    if (gradients + activations + transient <= fullest) return;
    fullest = gradients + activations + transient;
    m.gradients = gradients;
    m.activations = activations;
    m.buffers = transient + workspace;
    m.buffer_parts = {{"gradients under way", transient}, {"workspaces", workspace}};
  };
  const Bytes before = c.micro_batches > 1 ? parameter * (part * whole) : Bytes{};
  Bytes held = rank.saved, written;
  for (std::size_t i = rank.blocks.size(); i-- > 0;) {
    const Block& b = *rank.blocks[i];
    // A block's gradients in BF16, and as they are reduced.
    const Bytes unreduced = sharded ? (Bytes{2} + reduced) * b.parameters.total() : Bytes{};
    moment(std::max(before, written), held, b.transient + unreduced);
    held -= std::min(held, saved_bytes(b, c.routing));
    written += parameter * (part * b.parameters.total());
    // The last block's own gradients are there before its transient is gone.
    if (i == 0) moment(std::max(before, written), held, b.transient + unreduced);
  }
  return m;
}

}  // namespace trillion
