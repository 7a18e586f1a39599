// A linear layer as kernels: one GEMM per product, and in FP8 the quantisation kernels around it.
//
// FP8 recipe of the DeepSeek-V3 report, section 3.3, as its published profile shows it on the device:
//   forward          cast the input per token (1x128 scales), lay out the scales, GEMM
//   input gradient   cast the output gradient per token, transpose the FP8 weight, lay out the scales, GEMM
//   weight gradient  cast and transpose input and output gradient per channel (128x1 scales), GEMM accumulating in FP32
// Weights are quantised once per step, after the optimizer (workload/step_end.h).
#pragma once

#include <cstdint>
#include <string>

#include "sim/workload/operation.h"

namespace trillion {

struct Linear {
  std::string name;
  std::int64_t tokens = 0;
  std::int64_t in = 0, out = 0;  // this rank's share
  Category category = Category::attention;
  DType type = DType::bf16;   // of the three products
  bool fp32_gradient = true;  // the weight gradient is added up in FP32; false: written in BF16
  // Of the rows that this rank quantises itself, of the input and of the output's gradient: the rest is gathered in FP8.
  double own_input = 1, own_gradient = 1;
};

// Whether the operand that a product would quantise is in FP8 already, because a kernel before it wrote it so.
enum class Operand { bf16, quantised };

void add_forward(Operations& ops, const Linear& linear, Operand input = Operand::bf16);
void add_input_gradient(Operations& ops, const Linear& linear, Operand gradient = Operand::bf16);
void add_weight_operands(Operations& ops, const Linear& linear, Operand input = Operand::bf16);  // the casts of the weight gradient
void add_weight_gradient(Operations& ops, const Linear& linear);                                 // its GEMM

// A kernel whose time is the bytes it moves.
Operation memory_operation(std::string label, Category category, MemoryKernel kernel, Bytes read, Bytes written);

// Bytes of one FP8 value with its share of the scales: FP32, one per 128 values.
inline constexpr double kFp8Bytes = 1 + 4.0 / 128;

// Quantisation of `elements` BF16 values, along the rows or along the columns.
Operation cast_operation(std::string label, double elements);
Operation cast_transpose_operation(std::string label, double elements);

// The scales of so many values laid out as the block-scaled GEMM reads them.
Operation scales_operation(std::string label, double elements);

}  // namespace trillion
