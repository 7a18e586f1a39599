#include "sim/workload/linear.h"

#include <utility>

namespace trillion {

namespace {

bool is_fp8(const Linear& l) { return l.type == DType::fp8 || l.type == DType::fp8_block; }

double elements(std::int64_t rows, std::int64_t columns) { return static_cast<double>(rows) * static_cast<double>(columns); }

void add_gemm(Operations& ops, const Linear& l, GemmLayout layout) {
  Gemm gemm{.dtype = l.type, .m = l.tokens, .n = l.out, .k = l.in, .layout = layout};
  if (layout == GemmLayout::input_gradient) gemm = {.dtype = l.type, .m = l.tokens, .n = l.in, .k = l.out, .layout = layout};
  if (layout == GemmLayout::weight_gradient) {
    gemm = {.dtype = l.type, .m = l.out, .n = l.in, .k = l.tokens, .layout = layout, .accumulate_fp32 = l.fp32_gradient};
  }
  const std::string product = layout == GemmLayout::forward ? "" : layout == GemmLayout::input_gradient ? " dgrad" : " wgrad";
  ops.push_back({l.name + product, l.category, Lane::compute, gemm});
}

}  // namespace

Operation memory_operation(std::string label, Category category, MemoryKernel kernel, Bytes read, Bytes written) {
  return {std::move(label), category, Lane::compute, MemoryBound{kernel, read, written}};
}

Operation cast_operation(std::string label, double n) {
  return memory_operation(std::move(label), Category::cast_and_quantize, MemoryKernel::cast_fp8, Bytes{2 * n}, Bytes{n * kFp8Bytes});
}

Operation cast_transpose_operation(std::string label, double n) {
  return memory_operation(std::move(label), Category::cast_and_quantize, MemoryKernel::cast_fp8_transpose, Bytes{2 * n},
                          Bytes{n * kFp8Bytes});
}

Operation scales_operation(std::string label, double n) {
  const Bytes scales{n * (kFp8Bytes - 1)};
  return memory_operation(std::move(label), Category::cast_and_quantize, MemoryKernel::transpose, scales, scales);
}

void add_forward(Operations& ops, const Linear& l, Operand input) {
  const double values = elements(l.tokens, l.in);
  if (is_fp8(l) && input == Operand::bf16) ops.push_back(cast_operation(l.name + " quantise input", l.own_input * values));
  if (l.type == DType::fp8_block) ops.push_back(scales_operation(l.name + " scales", values));
  add_gemm(ops, l, GemmLayout::forward);
}

void add_input_gradient(Operations& ops, const Linear& l, Operand gradient) {
  const double values = elements(l.tokens, l.out);
  if (is_fp8(l)) {
    if (gradient == Operand::bf16) ops.push_back(cast_operation(l.name + " quantise gradient", l.own_gradient * values));
    const Bytes weight{elements(l.in, l.out)};
    ops.push_back(memory_operation(l.name + " transpose weight", Category::cast_and_quantize, MemoryKernel::transpose, weight, weight));
  }
  if (l.type == DType::fp8_block) ops.push_back(scales_operation(l.name + " dgrad scales", values));
  add_gemm(ops, l, GemmLayout::input_gradient);
}

void add_weight_operands(Operations& ops, const Linear& l, Operand input) {
  if (!is_fp8(l)) return;
  if (input == Operand::bf16) ops.push_back(cast_transpose_operation(l.name + " quantise input for wgrad", elements(l.tokens, l.in)));
  ops.push_back(cast_transpose_operation(l.name + " quantise gradient for wgrad", elements(l.tokens, l.out)));
}

void add_weight_gradient(Operations& ops, const Linear& l) { add_gemm(ops, l, GemmLayout::weight_gradient); }

}  // namespace trillion
