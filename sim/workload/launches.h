// What the host spends on a block's kernels where Python issues them one by one (calibration stack.unfused: launches, or blocking: each
// after the one before has ended), without CUDA graphs. Each kernel costs the profile's host_product or host_elementwise; what
// Megatron-LM's Python does around it is counted in calls, each as dear as an elementwise operation:
//
//   forward product of a linear layer   13   module, autograd function, views: 140 us on the host in all for Transformer Engine's
//                                            ColumnParallelLinear (NVIDIA/TransformerEngine pull request 1191), (140 - 19) / 9
//                                       6    74 us for Megatron-LM's own, which stacks without FlashAttention have
//   its input gradient                  6, 3 the function's backward pass, called from C++; assumed half as much
//   product of a grouped layer          its experts: one product and one slice each (TransformerEngine issue 1499)
//   any of these in FP8                 twice as many (TransformerEngine issue 761)
//   fused attention                     8    views, layout, seed and offset
//   attention's separate products       3    views and transpositions
//   softmax, dropout                    1, 4 an autograd function; random state kept and restored (mpu/random.py, fork)
//   selection of experts                10   some ten small operations
//   a collective                        2    counted with the kernel after it
//   a layer that runs again             10   its inputs and random states, before its first kernel (mpu/random.py, CheckpointFunction)
//
// Counts without a source beside them are assumed, from reading which Python functions lie around the kernels.
//
// It waits for what a pipeline neighbour sends before it issues what comes after (Megatron-LM v2.5, p2p_communication.py: synchronize after
// each exchange), and once a step for the gradient's norm. With tensor_parallel_overlap: pipelined a product's pieces are one call.
#pragma once

#include "sim/workload/block.h"

namespace trillion {

// REQUIRES: no operation of the block has host_calls yet.
void add_host_calls(Block& block, const BlockContext& context);

}  // namespace trillion
