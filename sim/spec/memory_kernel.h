// The kernels whose time is the bytes they move, and one call of them.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "sim/base/quantity.h"

namespace trillion {

enum class MemoryKernel {
  copy,
  rms_norm,
  rms_norm_backward,
  layer_norm,
  layer_norm_backward,
  swiglu,
  swiglu_backward,
  gelu,
  gelu_backward,
  rope,
  cast_fp8,
  cast_fp8_transpose,
  cast_bf16,
  transpose,
  permute,
  unpermute,
  gate_topk,
  add,
  zero,
  attention_preprocess,
  attention_postprocess,
  embedding,
  embedding_backward,
  cross_entropy,
  cross_entropy_backward,
  gradient_norm,
  adam,
  dropout,
  softmax,
  gate_topk_backward,
  expert_mapping,  // which received row belongs to which local expert
  cast_fp32,
  cast_fp8_block,       // of weights: one scale per 128 x 128
  gradient_accumulate,  // FP32 += BF16
  adam_bf16_states,     // moments in BF16
  scatter_add,
  // PyTorch's own kernels, as eager code launches them; bytes as calibration/steps/torch_kernels.py counts them.
  torch_add,
  torch_mul,
  torch_silu,
  torch_rms_norm,
  torch_cast_fp32,
  torch_cast_bf16,
  torch_cat,
  torch_neg,
  torch_index_select,
  torch_index_add,
  torch_zero,
  torch_accumulate,
  torch_copy,
  torch_rms_norm_backward,
  torch_silu_backward,
  torch_mul_backward,
  torch_cross_entropy,
  torch_cross_entropy_backward,
  torch_embedding,
  torch_embedding_backward,
  torch_adamw_fused_bf16,
  torch_adamw_fused_fp32,
  torch_adamw_foreach_bf16,
  torch_adamw_foreach_fp32,
  torch_topk,
  torch_softmax,
  torch_argsort,
  torch_index_add_bf16,
  column_sum,  // over the rows: gradients of biases
  torch_mean,  // over pieces of a sum that lie one behind the other; a value written counts as eight that are read, for so it costs
  dropout_backward,
  // Of PyTorch, at the pace of their instructions: operands that are broadcast, or halves of each head; two bytes a value each way.
  torch_mul_broadcast,           // a factor for all heads: rotary embedding
  torch_mul_broadcast_promoted,  // BF16 times FP32, as under autocast
  torch_mul_broadcast_fp32,
  torch_neg_half,
  torch_cat_halves,
  torch_mul_rows,          // a factor for each row
  torch_rms_norm_weights,  // gradient of a norm's weights; four bytes a value, of rows of 1664 values at least: its time goes by rows
};
// clang-format off
inline constexpr std::array<std::string_view, 74> kMemoryKernelNames = {
    "copy", "rms_norm", "rms_norm_backward", "layer_norm", "layer_norm_backward", "swiglu", "swiglu_backward", "gelu", "gelu_backward",
    "rope", "cast_fp8", "cast_fp8_transpose", "cast_bf16", "transpose", "permute", "unpermute", "gate_topk", "add", "zero",
    "attention_preprocess", "attention_postprocess", "embedding", "embedding_backward", "cross_entropy", "cross_entropy_backward",
    "gradient_norm", "adam", "dropout", "softmax", "gate_topk_backward", "expert_mapping", "cast_fp32", "cast_fp8_block",
    "gradient_accumulate", "adam_bf16_states", "scatter_add", "torch_add", "torch_mul", "torch_silu", "torch_rms_norm",
    "torch_cast_fp32", "torch_cast_bf16", "torch_cat", "torch_neg", "torch_index_select", "torch_index_add", "torch_zero",
    "torch_accumulate", "torch_copy", "torch_rms_norm_backward", "torch_silu_backward", "torch_mul_backward", "torch_cross_entropy",
    "torch_cross_entropy_backward", "torch_embedding", "torch_embedding_backward", "torch_adamw_fused_bf16", "torch_adamw_fused_fp32",
    "torch_adamw_foreach_bf16", "torch_adamw_foreach_fp32", "torch_topk", "torch_softmax", "torch_argsort", "torch_index_add_bf16",
    "column_sum", "torch_mean", "dropout_backward", "torch_mul_broadcast", "torch_mul_broadcast_promoted", "torch_mul_broadcast_fp32",
    "torch_neg_half", "torch_cat_halves", "torch_mul_rows", "torch_rms_norm_weights"};
// clang-format on

struct MemoryBound {
  MemoryKernel kernel = MemoryKernel::copy;
  Bytes read, written;
  std::int64_t rows = 0;  // that column_sum sums over; of others 0

  friend bool operator==(const MemoryBound&, const MemoryBound&) = default;
};

}  // namespace trillion
