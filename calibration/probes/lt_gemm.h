// One matrix product as training issues it, through cuBLASLt.
//
// C[m,n] = A[m,k] B[k,n], everything row-major as PyTorch and Megatron store it:
//
//   layout            m       n    k        A                   B                 cuBLAS calls it
//   forward           tokens  out  in       activations [m,k]   weight [n,k]^T    TN
//   input_gradient    tokens  in   out      gradient [m,k]      weight [k,n]      NN
//   weight_gradient   out     in   tokens   gradient [k,m]^T    activations[k,n]  NT
//
// bf16: bf16 operands, fp32 accumulation inside; C is bf16, or fp32 with C += when `accumulate`.
// fp8:  e4m3 operands with one scale a tensor. Hopper has TN only, so both gradients take transposed copies (the
//       cast_fp8 transposing kernels of memory_bound pay for those). Forward uses fast accumulation, gradients
//       the promoted one, as Transformer Engine and torchao do.
// fp8_block: 1x128 scales for activations and gradients, 128x128 for weights (1x128 on both sides of a
//       weight gradient), DeepSeek-V3's recipe.
//
// The algorithm is the heuristic's first answer with a 32 MiB workspace: what frameworks run.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <memory>
#include <string>

#include "arena.h"
#include "row.h"

namespace probe {

struct GemmShape {
  std::string dtype = "bf16";  // bf16 | fp8 | fp8_block
  std::int64_t m = 0, n = 0, k = 0;
  std::string layout = "forward";  // forward | input_gradient | weight_gradient
  bool accumulate = false;         // C is fp32 and added to
  int sms = 0;                     // SMs that the kernel may count on; 0: all

  std::size_t a_bytes() const, b_bytes() const, c_bytes() const;
  double flops() const { return 2.0 * double(m) * double(n) * double(k); }
  Row row(const std::string& load) const;  // the shape's keys
};

// Operands and workspace that any number of products share.
struct GemmMemory {
  // `bytes`: the largest operand; C has twice that. REQUIRES ~4.2 x bytes of device memory (5.2 with fp8).
  GemmMemory(std::size_t bytes, bool with_fp8);
  Arena a, b, c;
  std::unique_ptr<Arena> a8, b8;  // e4m3
  Arena scales;                   // ones, fp32
  Arena workspace;                // 32 MiB
};

class LtGemm {
 public:
  // Throws Unsupported when cuBLASLt has no kernel.
  LtGemm(const GemmShape& shape, const GemmMemory& memory);
  ~LtGemm();
  LtGemm(const LtGemm&) = delete;
  LtGemm& operator=(const LtGemm&) = delete;

  void launch(cudaStream_t stream, int index) const;
  // Operands chosen by the caller, for checks of the result.
  void launch(cudaStream_t stream, const void* a, const void* b, void* c) const;
  std::size_t bytes_per_launch() const;

 private:
  void describe_operands();
  void set_scales();
  void choose_algorithm();

  GemmShape shape_;
  const GemmMemory& memory_;
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t left_ = nullptr, right_ = nullptr, out_ = nullptr;  // cuBLAS's A, B, C
  cublasLtMatmulAlgo_t algorithm_{};
};

}  // namespace probe
