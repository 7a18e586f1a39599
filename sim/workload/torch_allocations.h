// The tensors of a PyTorch rank, one after the other through its steps, handed to a simulated caching allocator
// (workload/caching_allocator.h): what the allocator has reserved beyond what is in use.
//
//   always     parameters and moments, tensor by tensor; gradients from their first pass to zero_grad, or in DDP's buckets
//   forward    each operation's output; it stays if the backward pass needs it (it has the size of a tensor that the block saves), else
//              until the operation after the next has run
//   backward   a block's extra tensors (Block::transient), what recomputation brings back, each operation's output until two more
//              have run, weight gradients; then what the block saved goes
//   FSDP       on streams of their own, as fully_shard has them: the gathered copy of a group of parameters, the copy of its gradients for
//              the reduction; both until the next one's
//
// DDP has one bucket for all gradients in its first step and lays them out anew when that has shown in which order they come
// (rebuild_buckets), while the old one is still there. Three steps are run and the last one's peaks are read. What is in use at the peak is
// known better (workload/torch_memory.h); here only the order of sizes matters, and what it leaves unused.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/workload/block.h"
#include "sim/workload/schedule.h"

namespace trillion {

struct AllocatorPeaks {
  Bytes allocated, reserved;
  Bytes unused() const { return reserved - allocated; }
};

struct AllocationInput {
  const std::vector<Action>& actions;             // the rank's, in order
  std::vector<std::vector<const Block*>> stages;  // [stage] in forward order
  const BlockContext& context;
  double shard = 1;       // of parameters and moments, the part that this rank holds
  bool bucketed = false;  // DDP reduces the gradients
  Bytes workspace;
  bool expandable_segments = false;
  bool reshards_ends = false;  // fully_shard's root group, after the forward pass
};

AllocatorPeaks allocator_peaks(const AllocationInput& input);

}  // namespace trillion
