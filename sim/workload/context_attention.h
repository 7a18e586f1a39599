// The fused attention kernel of one rank with the communication that context parallelism puts around it.
//
// A rank holds t / n tokens of each sequence, n ranks a sequence. plan.context_parallel_method:
//   all_gather  keys and values of the whole sequence are gathered before the kernel (Llama 3 report, section 3.3.2) and again before
//               its backward pass, which reduce-scatters their gradients (Transformer Engine, AttnFuncWithCPAndKVAllGather)
//   ring        n steps; while a step attends to the block at hand, the next one arrives from the neighbour (ring attention, Liu et
//               al. 2023; Transformer Engine, AttnFuncWithCPAndKVP2P). Going back, the gradients of a block travel with it and need
//               one hop more to come home
//   all_to_all  every rank trades its tokens for heads before the kernel, and back after it (DeepSpeed Ulysses, Jacobs et al. 2023);
//               n divides the heads
//
// all_gather and ring give a rank two mirrored slices of each sequence, so that causality costs all ranks the same; each step of a
// ring then does 1 / n of the rank's work.
#pragma once

#include <cstdint>

#include "sim/workload/passes.h"

namespace trillion {

// Heads of this tensor-parallel rank.
struct CoreAttention {
  std::int64_t heads = 0, kv_heads = 0, qk_dim = 0, v_dim = 0;
};
CoreAttention core_attention(const BlockContext& context, std::int64_t qk_dim, std::int64_t v_dim);

// One step of a ring on mirrored slices: the rank's own block (step 0, causal), or half of what two ranks' slices have in common.
Attention ring_block(const BlockContext& context, const CoreAttention& core, Direction direction, std::int64_t step);
Operation context_exchange(const BlockContext& context, const char* label, CollectiveKind kind, Bytes bytes);

// From queries, keys and values to the output; from the output's gradient to theirs.
Operations core_forward(const BlockContext& context, const CoreAttention& core);
Operations core_backward(const BlockContext& context, const CoreAttention& core);

}  // namespace trillion
