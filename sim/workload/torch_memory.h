// Peak memory of one pipeline rank that runs PyTorch (workload/torch.h): what its caching allocator hands out at the fullest moment
// of a step that is not the first one.
//
//   always       parameters and Adam's moments, in the parameters' type; cuBLAS's workspaces, of Python's thread and of autograd's
//   activations  what autograd saved in all passes under way; the backward pass lets go of it block by block
//   gradients    appear block by block on the way back of each stage's first pass, and stay to the end of the step; those that DDP
//                reduces live in its buckets, which stay
//   FSDP         (zero-3) of parameters and gradients the shard. Layers are groups of their own, embedding and head one together, which
//                stays gathered (torch.distributed.fsdp.fully_shard), or is gathered anew after the loss (reshards_ends). Going back, in
//                BF16 this layer's parameters and the next one's; gradients of the layer before while they are reduced, in the type of the
//                reduction; a layer's own in BF16 and, when it ends, copied together for the reduction; those of the ends to the end. Under
//                a pipeline nothing is given back before the step ends: parameters are whole, gradients add up whole (torchtitan's
//                parallelize_llama.py, apply_fsdp: reshard_after_forward=False; torch.distributed.pipelining.stage,
//                backward_maybe_with_nosync)
//   transient    of the block under way: gradients of the logits; of a layer the most that its tensors come to on the way back, what runs
//                again among them (workload/torch_tensors.h, backward_bytes)
//
// zero_grad(set_to_none=True) ends a step, so that none begins with gradients.
#pragma once

#include <vector>

#include "sim/workload/memory.h"

namespace trillion {

struct TorchRank {
  std::vector<const Block*> blocks;  // of the rank, in forward order
  Bytes saved;                       // of all passes under way at the fullest moment
  double optimizer_shard = 0;        // parameters whose moments it holds
  double bucketed = 0;               // parameters whose gradients DDP reduces
  double with_gradients = 0;         // parameters whose gradients passes before have left
  bool reshards_ends = false;        // TorchMemorySetting
};

// Of a parameter, once a backward pass has left its gradient. `share`: of the parameters, what this rank's shards hold.
Bytes gradient_bytes(const BlockContext& context, double share);

// Parameters, gradients, optimizer, activations and buffers of the fullest moment; overhead is left to the caller.
StageMemory torch_memory(const TorchRank& rank, const BlockContext& context, Bytes workspace);

}  // namespace trillion
