// Kernels that live off memory bandwidth: what a training step runs between its matrix products.
//
// Each is written to reach the bandwidth (16-byte accesses, several in flight, one pass where one pass suffices), as fused
// kernels of training stacks are. Their cost is their bytes; the arithmetic hides. bf16 activations unless said.
//
//   kernel                    reads                              writes
//   copy, memcpy              x                                  y              (own kernel; cudaMemcpyAsync)
//   add                       x, residual                        y
//   swiglu                    gate, up                           y              [rows, columns] each
//   swiglu_backward           dy, gate, up                       dgate, dup
//   rope                      x                                  y              columns = heads x dimension
//   gelu                      x                                  y              tanh form, as Megatron-LM's
//   gelu_backward             dy, x                              dx
//   cast_fp32, cast_bf16      x                                  y in the other type
//   gradient_accumulate       g (bf16), sum (fp32)               sum
//   adam                      g, master, m, v (fp32)             master, m, v, weight (bf16)
//   adam_bf16_states          g, master (fp32), m, v (bf16)      master, m, v, weight (bf16)
//   rms_norm                  x                                  y
//   rms_norm_backward         dy, x                              dx, and dweight through per-block sums
//   softmax                   scores                             probabilities  (router gates: few columns)
//   cross_entropy             logits                             loss and log-sum-exp per row
//   cross_entropy_backward    logits                             dlogits
//   cast_fp8                  x                                  e4m3 and a scale per 1x128
//   cast_fp8_block            x                                  e4m3 and a scale per 128x128
//   cast_fp8_transpose        x                                  e4m3 in both orders, 1x128 scales of both
//   transpose                 x of one byte a value              y              of FP8 weights and activations
//   zero                                                         y
//   gradient_norm             g (fp32)                           the sum of its squares
//   permute                   x at shuffled rows                 y              rows = tokens x experts per token
//   unpermute                 8 shuffled rows per token          their weighted sum
//   scatter_add               x, sum (fp32) at shuffled rows     sum            (atomic)
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <vector>

#include "row.h"

namespace probe {

struct MemoryShape {
  std::string kernel;
  std::int64_t rows = 1, columns = 0;
  std::int64_t read_bytes() const, written_bytes() const;
  Row row(const std::string& load) const;
};

// Operands: `in` holds read_bytes() of operands in the table's order, one after the other, `out` written_bytes()
// of results; optimizer states, accumulated gradients and scatter_add's sum are updated in place inside `in`.
struct MemoryBuffers {
  char* in;
  char* out;
  const int* shuffled;  // a permutation of 0..rows-1
  float* partial;       // >= 8 x SMs x columns floats, for per-block sums
};

void launch_memory_kernel(const MemoryShape& shape, const MemoryBuffers& buffers, int sm_count, cudaStream_t stream);

// The kernels' homes; launch_memory_kernel chooses. Each returns false if the name is not its own.
bool launch_elementwise(const MemoryShape& shape, const MemoryBuffers& buffers, cudaStream_t stream);
bool launch_rowwise(const MemoryShape& shape, const MemoryBuffers& buffers, int sm_count, cudaStream_t stream);
bool launch_quantize(const MemoryShape& shape, const MemoryBuffers& buffers, cudaStream_t stream);
bool launch_permute(const MemoryShape& shape, const MemoryBuffers& buffers, cudaStream_t stream);
bool launch_sweep(const MemoryShape& shape, const MemoryBuffers& buffers, int sm_count, cudaStream_t stream);

constexpr int kExpertsPerToken = 8;  // unpermute

}  // namespace probe
