// Moving tokens to their experts and back: gathers and scatters of whole rows.
#include "check.h"
#include "memory_kernels.h"
#include "vector16.cuh"

namespace probe {
namespace {

using Bf16 = __nv_bfloat16;
constexpr int kThreads = 256;

// One block a row; a row of 7168 is 896 accesses of 16 bytes.
__global__ void __launch_bounds__(kThreads) gather_rows(const Bf16* x, const int* from, Bf16* y, int columns) {
  const Bf16* source = x + std::int64_t{from[blockIdx.x]} * columns;
  Bf16* target = y + std::int64_t{blockIdx.x} * columns;
#pragma unroll 4
  for (int c = threadIdx.x * 8; c < columns; c += kThreads * 8) store8(target + c, load8(source + c));
}

__global__ void __launch_bounds__(kThreads) combine_rows(const Bf16* x, const int* from, Bf16* y, int columns) {
  for (int c = threadIdx.x * 8; c < columns; c += kThreads * 8) {
    Bf16x8 held[kExpertsPerToken];
#pragma unroll
    for (int k = 0; k < kExpertsPerToken; ++k) {
      held[k] = load8(x + std::int64_t{from[blockIdx.x * kExpertsPerToken + k]} * columns + c);
    }
    float sum[8] = {};
#pragma unroll
    for (int k = 0; k < kExpertsPerToken; ++k) {
      float e[8];
      unpack(held[k], e);
#pragma unroll
      for (int i = 0; i < 8; ++i) sum[i] += 0.125f * e[i];
    }
    store8(y + std::int64_t{blockIdx.x} * columns + c, pack(sum));
  }
}

__global__ void __launch_bounds__(kThreads) scatter_add_rows(const Bf16* x, const int* to, float* sum, int columns) {
  const Bf16* source = x + std::int64_t{blockIdx.x} * columns;
  float* target = sum + std::int64_t{to[blockIdx.x]} * columns;
#pragma unroll 2
  for (int c = threadIdx.x * 8; c < columns; c += kThreads * 8) {
    float e[8];
    unpack(load8(source + c), e);
#if __CUDA_ARCH__ >= 900
    atomicAdd(reinterpret_cast<float4*>(target + c), make_float4(e[0], e[1], e[2], e[3]));
    atomicAdd(reinterpret_cast<float4*>(target + c + 4), make_float4(e[4], e[5], e[6], e[7]));
#else
    for (int i = 0; i < 8; ++i) atomicAdd(target + c + i, e[i]);
#endif
  }
}

}  // namespace

bool launch_permute(const MemoryShape& shape, const MemoryBuffers& at, cudaStream_t stream) {
  const Bf16* x = reinterpret_cast<const Bf16*>(at.in);
  const int columns = static_cast<int>(shape.columns);
  const unsigned rows = static_cast<unsigned>(shape.rows);
  if (shape.kernel == "permute") {
    gather_rows<<<rows, kThreads, 0, stream>>>(x, at.shuffled, reinterpret_cast<Bf16*>(at.out), columns);
  } else if (shape.kernel == "unpermute") {
    combine_rows<<<rows / kExpertsPerToken, kThreads, 0, stream>>>(x, at.shuffled, reinterpret_cast<Bf16*>(at.out), columns);
  } else if (shape.kernel == "scatter_add") {
    float* sum = reinterpret_cast<float*>(at.in + 2 * shape.rows * shape.columns);
    scatter_add_rows<<<rows, kThreads, 0, stream>>>(x, at.shuffled, sum, columns);
  } else {
    return false;
  }
  PROBE_CUDA(cudaGetLastError());
  return true;
}

}  // namespace probe
