#include "sim/workload/torch_memory.h"

#include <algorithm>

namespace trillion {

StageMemory torch_memory(const TorchRank& rank, const BlockContext& c, Bytes workspace) {
  const Bytes parameter{c.autocast() ? 4.0 : 2.0};
  double whole = 0;
  for (const Block* b : rank.blocks) whole += b->parameters.total();

  StageMemory m;
  m.parameters = parameter * whole;
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
  const Bytes before = c.micro_batches > 1 ? parameter * whole : Bytes{};
  Bytes held = rank.saved, written;
  for (std::size_t i = rank.blocks.size(); i-- > 0;) {
    const Block& b = *rank.blocks[i];
    moment(std::max(before, written), held, b.transient);
    held -= std::min(held, saved_bytes(b, c.routing));
    written += parameter * b.parameters.total();
    // The last block's own gradients are there before its transient is gone.
    if (i == 0) moment(std::max(before, written), held, b.transient);
  }
  return m;
}

}  // namespace trillion
