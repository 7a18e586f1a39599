#include "sim/workload/torch_memory.h"

#include <algorithm>

#include "sim/workload/step_end.h"
#include "sim/workload/torch.h"

namespace trillion {

namespace {

// What FSDP holds of a rank's blocks besides their shards; nothing without it.
class Fsdp {
 public:
  Fsdp(const TorchRank& rank, const BlockContext& c)
      : blocks_(rank.blocks),
        sharded_(c.plan.sharding == Sharding::zero_3),
        whole_step_(sharded_ && !reduces_every_micro_batch(c.plan)),
        reshards_ends_(rank.reshards_ends),
        reduced_(static_cast<double>(c.training.optimizer_state.gradient_reduce_bytes)) {
    for (const Block* b : blocks_) {
      whole_ += b->parameters.total();
      ends_ += is_layer(b->kind) ? 0 : b->parameters.total();
    }
  }

  bool sharded() const { return sharded_; }
  bool whole_step() const { return whole_step_; }
  double whole() const { return whole_; }

  // BF16 parameters while block i goes back; of the last one, its loss.
  Bytes gathered(std::size_t i) const {
    if (!sharded_) return {};
    const double ends = reshards_ends_ && i + 1 == blocks_.size() ? 0 : ends_;
    return Bytes{2} * (whole_step_ ? whole_ : ends + layer(i) + (i > 0 ? layer(i - 1) : 0));
  }
  // Of the block before (the next in forward order), on their way to the shards.
  Bytes being_reduced(std::size_t i) const {
    return Bytes{sharded_ && !whole_step_ && i + 1 < blocks_.size() ? reduced_ * layer(i + 1) : 0};
  }
  // A group of parameters when its last gradient is there: in BF16, and copied together for the reduction.
  Bytes complete(double parameters) const { return Bytes{((whole_step_ ? 0 : 2) + reduced_) * parameters}; }

 private:
  double layer(std::size_t i) const { return is_layer(blocks_[i]->kind) ? blocks_[i]->parameters.total() : 0; }

  const std::vector<const Block*>& blocks_;
  bool sharded_, whole_step_, reshards_ends_;
  double reduced_, whole_ = 0, ends_ = 0;
};

Bytes parameter_bytes(const BlockContext& c) { return Bytes{c.training.optimizer_state.master_weight_bytes > 0 ? 4.0 : 2.0}; }

}  // namespace

// Gradients that add up over micro-batches unsharded are in the type in which they will be reduced.
Bytes gradient_bytes(const BlockContext& c, double share) {
  if (c.plan.sharding != Sharding::zero_3) return parameter_bytes(c);
  if (reduces_every_micro_batch(c.plan)) return parameter_bytes(c) * share;
  return Bytes{std::max(2.0, static_cast<double>(c.training.optimizer_state.gradient_reduce_bytes))};
}

StageMemory torch_memory(const TorchRank& rank, const BlockContext& c, Bytes workspace) {
  const Fsdp fsdp(rank, c);
  const Bytes parameter = parameter_bytes(c);
  const double part = fsdp.sharded() && fsdp.whole() > 0 ? rank.optimizer_shard / fsdp.whole() : 1;

  StageMemory m;
  m.optimizer = Bytes{2.0 * static_cast<double>(c.training.optimizer_state.moment_bytes)} * rank.optimizer_shard;
  Bytes fullest;
  const auto moment = [&](Bytes gathered, Bytes gradients, Bytes activations, Bytes transient) {
    if (gathered + gradients + activations + transient <= fullest) return;
    fullest = gathered + gradients + activations + transient;
    m.parameters = parameter * (part * fsdp.whole()) + gathered;
    m.gradients = gradients;
    m.activations = activations;
    m.buffers = transient + 2 * workspace;
    m.buffer_parts = {{"gradients under way", transient}, {"workspaces", 2 * workspace}};
  };
  const Bytes each = gradient_bytes(c, part);
  const double bucketed = fsdp.whole() > 0 ? rank.bucketed / fsdp.whole() : 0;
  Bytes held = rank.saved, written;
  const auto gradients = [&] {
    const Bytes before = each * rank.with_gradients;
    // Passes that do not reduce (no_sync) leave gradients of their own beside the buckets.
    const double elsewhere = c.micro_batches > 1 ? 1 : 1 - bucketed;
    // One graph hands out its gradients when all are there.
    const Bytes beside = is_one_graph(c) ? before + written : std::max(before, written);
    return bucketed * (each * fsdp.whole()) + elsewhere * beside;
  };
  double ends = 0;  // whose gradients are there
  for (std::size_t i = rank.blocks.size(); i-- > 0;) {
    const Block& b = *rank.blocks[i];
    const Bytes waiting = fsdp.sharded() && !fsdp.whole_step() ? Bytes{2 * ends} : Bytes{};
    moment(fsdp.gathered(i), gradients(), held, b.transient + fsdp.being_reduced(i) + waiting);
    held -= std::min(held, saved_bytes(b, c.routing) - b.kept_to_the_end);
    written += each * b.parameters.total();
    if (!is_layer(b.kind)) ends += b.parameters.total();
    if (fsdp.sharded() && is_layer(b.kind)) {
      moment(fsdp.gathered(i), gradients(), held, fsdp.complete(b.parameters.total()) + waiting);
    } else if (fsdp.sharded() && i == 0) {
      moment(fsdp.gathered(i), gradients(), held, fsdp.complete(ends));
    } else if (i == 0 && !is_one_graph(c)) {
      // The last block's own gradients are there before its transient is gone.
      moment({}, gradients(), held, b.transient);
    }
  }
  if (fullest.value() == 0) m.parameters = parameter * (part * fsdp.whole()) + fsdp.gathered(0);
  return m;
}

}  // namespace trillion
