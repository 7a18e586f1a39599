// The tensors of a PyTorch rank, one after the other through its steps, handed to a simulated caching allocator
// (workload/caching_allocator.h): what the allocator has reserved beyond what is in use.
//
//   always     parameters and moments, tensor by tensor, with rotary embedding's tables behind the parameters (a tied head has had one of
//              its own in between); cuBLAS's workspaces, of Python's thread and of autograd's, each from its first product on; gradients
//              from their first pass to zero_grad, or in DDP's buckets, in compiled code from the end of the function
//   passes     what the modules take and drop (workload/torch_tensors.h); a block's output is the next one's input
//   FSDP       as fully_shard has it: on the gathering stream the shards in BF16 and all that is gathered of them, until the next group's;
//              of it the parameters one by one; gradients copied together, until the next group's; on the reducing stream what each
//              reduction leaves, which are the gradients of the shards
//
// DDP has one bucket for all gradients in its first step and lays them out anew when that has shown in which order they come
// (rebuild_buckets), while the old one is still there. Three steps are run and the last one's peaks are read. What is in use at the peak is
// said by formula (workload/torch_memory.h), which also knows what a pipeline keeps; from here comes what is left unused.
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
  Bytes workspace;        // of one thread
  bool expandable_segments = false;
  bool reshards_ends = false;  // fully_shard's root group, after the forward pass
};

AllocatorPeaks allocator_peaks(const AllocationInput& input);

}  // namespace trillion
