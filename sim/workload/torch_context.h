// PyTorch's context parallelism (torch.distributed.tensor.experimental, context_parallel around SDPA) over n ranks, each with two mirrored
// slices of a sequence. Both ways to rotate, all-gather (context_parallel_method: all_gather, PyTorch's default) and all-to-all (ring),
// run n kernels of attention a pass; nothing is one kernel that others make one (torch/distributed/tensor/experimental/_attention.py,
// PyTorch 2.11; the kernels as a profiler saw them on two H100s).
//
//   forward   keys and values are copied to contiguous tensors and joined, and set out for the other ranks; step 0 is the rank's own block.
//             What each further step computes is merged with what is there, in FP32: both casts, out - sigmoid(lse' - lse) (out - out')
//             operation by operation, and the same of the log-sum-exps; a cast to BF16 ends it
//   backward  the same exchange again; gradients add up in FP32, those of keys and values travel on to the next rank after every step,
//             joined and in FP32: n exchanges of twice the bytes of the keys and values, the last of which brings them home
//
// Each rank is taken for the last one, which attends to the earlier slice of every block that comes: the first rank's later half of the
// queries merges a little less. Eager code lets exchanges run beside the next step. Compiled code merges in one kernel, keeps what was
// gathered for the backward pass, and inductor puts a collective right before what reads its result, so that it runs alone.
#pragma once

#include "sim/workload/context_attention.h"

namespace trillion {

// Whether attention is computed so: a torch-* stack, and not by trading tokens for heads.
bool rotates_in_torch(const BlockContext& context);

Operations torch_ring_forward(const BlockContext& context, const CoreAttention& core);
Operations torch_ring_backward(const BlockContext& context, const CoreAttention& core);

}  // namespace trillion
