// Attention as it ran before FlashAttention (Megatron-LM of 2021 and 2022; Korthikanti et al. 2022, figure 3): the scores of every
// head are a matrix in memory that one kernel after the other reads and writes. With n = sequences x heads x queries x keys:
//
//   forward   scores = Q K^T            writes 2n bytes
//             softmax, scaled, masked   reads the causal half, writes 2n
//             dropout                   reads 2n, writes 2n and n bytes of mask
//             output = probabilities V  reads 2n
//   backward  dV, dP from dO            read and write 2n each; dropout and softmax backward as forward; dQ, dK read 2n each
//   saved     5n bytes (softmax 2, mask 1, dropout 2), unless plan.recompute lists attention: then nothing, and the backward
//             pass runs the first three kernels again
//
// Models with latent attention train without dropout: its kernels and bytes are left out. Transformer Engine ran theirs so on Blackwell
// until it took heads of 192 there (v2.2 to v2.4, common/fused_attn/fused_attn.cpp: sm_arch >= 100 up to 128 alone).
//
// The products do all keys, masked or not. A batch of heads' products is one product with as many rows as they have together.
#pragma once

#include <vector>

#include "sim/workload/block.h"

namespace trillion {

// What the three kernels before the last product are, and the last product: the forward pass of one layer's core attention.
Operations unfused_attention_forward(const BlockContext& context);

// With the kernels that run again where plan.recompute lists attention.
Operations unfused_attention_backward(const BlockContext& context);

std::vector<SavedTensor> unfused_attention_saved(const BlockContext& context);

}  // namespace trillion
