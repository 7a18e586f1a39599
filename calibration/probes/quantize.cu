// Casts to fp8 (e4m3) with DeepSeek-V3's scales: 1x128 for activations and gradients, 128x128 for weights.
#include <cuda_fp8.h>

#include "check.h"
#include "memory_kernels.h"
#include "vector16.cuh"

namespace probe {
namespace {

using Bf16 = __nv_bfloat16;
constexpr float kLargestFp8 = 448.0f;
constexpr int kTile = 128;

struct Fp8x8 {
  __nv_fp8x4_e4m3 low, high;
};

__device__ Fp8x8 quantized(const float e[8], float inverse) {
  return {__nv_fp8x4_e4m3(make_float4(e[0] * inverse, e[1] * inverse, e[2] * inverse, e[3] * inverse)),
          __nv_fp8x4_e4m3(make_float4(e[4] * inverse, e[5] * inverse, e[6] * inverse, e[7] * inverse))};
}

__device__ float largest_of(const float e[8]) {
  float top = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) top = fmaxf(top, fabsf(e[i]));
  return top;
}

// Sixteen lanes hold the 128 elements of a group; two groups of eight per thread keep two loads in flight.
__global__ void __launch_bounds__(256) cast_per_token(const Bf16* x, std::uint8_t* y, float* scales, std::int64_t vectors) {
  const std::int64_t first = std::int64_t{blockIdx.x} * 1024 + threadIdx.x;
  Bf16x8 held[4];
#pragma unroll
  for (int u = 0; u < 4; ++u) {
    if (first + u * 256 < vectors) held[u] = load8(x + 8 * (first + u * 256));
  }
#pragma unroll
  for (int u = 0; u < 4; ++u) {
    const std::int64_t i = first + u * 256;
    if (i >= vectors) continue;  // whole groups of sixteen lanes leave together
    float e[8];
    unpack(held[u], e);
    float top = largest_of(e);
    for (int o = 8; o > 0; o /= 2) top = fmaxf(top, __shfl_xor_sync(0xFFFFu << (threadIdx.x & 16), top, o));
    const float scale = fmaxf(top, 1e-4f) / kLargestFp8;
    *reinterpret_cast<Fp8x8*>(y + 8 * i) = quantized(e, 1.0f / scale);
    if (threadIdx.x % 16 == 0) scales[i / 16] = scale;
  }
}

// A block holds a 128 x 128 tile in registers: thread t has rows t / 16 + 16 j, columns 8 (t % 16) ...
__device__ void load_tile(const Bf16* x, std::int64_t columns, Bf16x8 held[8]) {
  const std::int64_t row = std::int64_t{blockIdx.y} * kTile + threadIdx.x / 16;
  const std::int64_t column = std::int64_t{blockIdx.x} * kTile + threadIdx.x % 16 * 8;
#pragma unroll
  for (int j = 0; j < 8; ++j) held[j] = load8(x + (row + 16 * j) * columns + column);
}

__global__ void __launch_bounds__(256) cast_per_block(const Bf16* x, std::uint8_t* y, float* scales, int columns) {
  Bf16x8 held[8];
  load_tile(x, columns, held);
  float top = 0;
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    float e[8];
    unpack(held[j], e);
    top = fmaxf(top, largest_of(e));
  }
  const float scale = fmaxf(over_block<true>(top), 1e-4f) / kLargestFp8;
  const std::int64_t row = std::int64_t{blockIdx.y} * kTile + threadIdx.x / 16;
  const std::int64_t column = std::int64_t{blockIdx.x} * kTile + threadIdx.x % 16 * 8;
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    float e[8];
    unpack(held[j], e);
    *reinterpret_cast<Fp8x8*>(y + (row + 16 * j) * columns + column) = quantized(e, 1.0f / scale);
  }
  if (threadIdx.x == 0) scales[blockIdx.y * gridDim.x + blockIdx.x] = scale;
}

// Both orders at once: rows with scales per row group, and the transpose with scales per column group.
__global__ void __launch_bounds__(256) cast_both_orders(const Bf16* x, std::uint8_t* y, std::uint8_t* transposed, float* scales,
                                                        float* transposed_scales, int rows, int columns) {
  // Padded by 4 bytes a row, so that walking a column does not return to the same bank.
  __shared__ Bf16 tile[kTile][kTile + 2];
  Bf16x8 held[8];
  load_tile(x, columns, held);
  const int lane_row = threadIdx.x / 16, lane_column = threadIdx.x % 16 * 8;
  const std::int64_t row0 = std::int64_t{blockIdx.y} * kTile, column0 = std::int64_t{blockIdx.x} * kTile;
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    float e[8];
    unpack(held[j], e);
    float top = largest_of(e);
    for (int o = 8; o > 0; o /= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, o));
    const float scale = fmaxf(top, 1e-4f) / kLargestFp8;
    const int r = lane_row + 16 * j;
    *reinterpret_cast<Fp8x8*>(y + (row0 + r) * columns + column0 + lane_column) = quantized(e, 1.0f / scale);
    if (threadIdx.x % 16 == 0) scales[(row0 + r) * gridDim.x + blockIdx.x] = scale;
#pragma unroll
    for (int p = 0; p < 4; ++p) {
      *reinterpret_cast<__nv_bfloat162*>(&tile[r][lane_column + 2 * p]) = held[j].pair[p];
    }
  }
  __syncthreads();
  // Sixteen lanes take a column: lane l reads rows 8 l ... 8 l + 7.
#pragma unroll
  for (int j = 0; j < 8; ++j) {
    const int c = lane_row + 16 * j;
    float e[8];
#pragma unroll
    for (int i = 0; i < 8; ++i) e[i] = __bfloat162float(tile[lane_column + i][c]);
    float top = largest_of(e);
    for (int o = 8; o > 0; o /= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, o));
    const float scale = fmaxf(top, 1e-4f) / kLargestFp8;
    *reinterpret_cast<Fp8x8*>(transposed + (column0 + c) * rows + row0 + lane_column) = quantized(e, 1.0f / scale);
    if (threadIdx.x % 16 == 0) transposed_scales[(column0 + c) * gridDim.y + blockIdx.y] = scale;
  }
}

}  // namespace

bool launch_quantize(const MemoryShape& shape, const MemoryBuffers& at, cudaStream_t stream) {
  const std::int64_t n = shape.rows * shape.columns;
  const Bf16* x = reinterpret_cast<const Bf16*>(at.in);
  std::uint8_t* y = reinterpret_cast<std::uint8_t*>(at.out);
  if (shape.kernel.rfind("cast_fp8", 0) != 0) return false;
  if (shape.columns % kTile != 0 || (shape.kernel != "cast_fp8" && shape.rows % kTile != 0)) {
    throw Unsupported("fp8 scales cover 128 elements");
  }
  const dim3 tiles(static_cast<unsigned>(shape.columns / kTile), static_cast<unsigned>((shape.rows + kTile - 1) / kTile));
  if (shape.kernel == "cast_fp8") {
    cast_per_token<<<static_cast<unsigned>((n / 8 + 1023) / 1024), 256, 0, stream>>>(x, y, reinterpret_cast<float*>(y + n), n / 8);
  } else if (shape.kernel == "cast_fp8_block") {
    cast_per_block<<<tiles, 256, 0, stream>>>(x, y, reinterpret_cast<float*>(y + n), static_cast<int>(shape.columns));
  } else if (shape.kernel == "cast_fp8_transpose") {
    float* scales = reinterpret_cast<float*>(y + 2 * n);
    cast_both_orders<<<tiles, 256, 0, stream>>>(x, y, y + n, scales, scales + n / kTile, static_cast<int>(shape.rows),
                                                static_cast<int>(shape.columns));
  } else {
    return false;
  }
  PROBE_CUDA(cudaGetLastError());
  return true;
}

}  // namespace probe
