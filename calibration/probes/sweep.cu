// One pass over a tensor: filled, summed up, or turned over.
#include "check.h"
#include "memory_kernels.h"
#include "vector16.cuh"

namespace probe {
namespace {

constexpr int kThreads = 256, kBlocksPerSm = 8, kInFlight = 4;

__global__ void __launch_bounds__(kThreads) fill_zero(int4* y, std::int64_t vectors) {
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < vectors; i += stride) y[i] = make_int4(0, 0, 0, 0);
}

__device__ float squares(const float4& v) { return v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w; }

// Adds the sum of squares to *out, which its caller set to zero.
__global__ void __launch_bounds__(kThreads) sum_of_squares(const float4* x, float* out, std::int64_t vectors) {
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads;
  std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  float sum = 0;
  for (; i + (kInFlight - 1) * stride < vectors; i += kInFlight * stride) {
    float4 held[kInFlight];
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) held[u] = __ldg(x + i + u * stride);
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) sum += squares(held[u]);
  }
  for (; i < vectors; i += stride) sum += squares(__ldg(x + i));
  sum = over_block<false>(sum);
  if (threadIdx.x == 0) atomicAdd(out, sum);
}

constexpr int kTile = 128;

// A block turns a tile of 128 x 128 bytes. A thread holds four rows of sixteen bytes and turns them four by four in registers, so that
// the shared memory sees words of four rows' bytes of a column.
__global__ void __launch_bounds__(kThreads) transpose_bytes(const std::uint8_t* x, std::uint8_t* y, int rows, int columns) {
  // Padded by a word a column, so that walking the columns does not return to the same bank.
  __shared__ std::uint32_t turned[kTile][kTile / 4 + 1];
  const std::int64_t row0 = std::int64_t{blockIdx.y} * kTile, column0 = std::int64_t{blockIdx.x} * kTile;
  const int group = threadIdx.x / 8, vector = threadIdx.x % 8;
  std::uint32_t held[4][4];
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const auto* from = reinterpret_cast<const int4*>(x + (row0 + 4 * group + r) * columns + column0 + 16 * vector);
    *reinterpret_cast<int4*>(held[r]) = __ldg(from);
  }
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    const std::uint32_t low01 = __byte_perm(held[0][word], held[1][word], 0x5140),
                        high01 = __byte_perm(held[0][word], held[1][word], 0x7362);
    const std::uint32_t low23 = __byte_perm(held[2][word], held[3][word], 0x5140),
                        high23 = __byte_perm(held[2][word], held[3][word], 0x7362);
    const int column = 16 * vector + 4 * word;
    turned[column][group] = __byte_perm(low01, low23, 0x5410);
    turned[column + 1][group] = __byte_perm(low01, low23, 0x7632);
    turned[column + 2][group] = __byte_perm(high01, high23, 0x5410);
    turned[column + 3][group] = __byte_perm(high01, high23, 0x7632);
  }
  __syncthreads();
#pragma unroll
  for (int part = 0; part < 4; ++part) {
    const int column = group + 32 * part;
    std::uint32_t out[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) out[i] = turned[column][4 * vector + i];
    *reinterpret_cast<int4*>(y + (column0 + column) * rows + row0 + 16 * vector) = *reinterpret_cast<const int4*>(out);
  }
}

}  // namespace

bool launch_sweep(const MemoryShape& shape, const MemoryBuffers& at, int sm_count, cudaStream_t stream) {
  const std::int64_t n = shape.rows * shape.columns;
  const int blocks = kBlocksPerSm * sm_count;
  if (shape.kernel == "zero") {
    fill_zero<<<blocks, kThreads, 0, stream>>>(reinterpret_cast<int4*>(at.out), n / 8);
  } else if (shape.kernel == "gradient_norm") {
    PROBE_CUDA(cudaMemsetAsync(at.out, 0, 4, stream));
    sum_of_squares<<<blocks, kThreads, 0, stream>>>(reinterpret_cast<const float4*>(at.in), reinterpret_cast<float*>(at.out), n / 4);
  } else if (shape.kernel == "transpose") {
    if (shape.rows % kTile != 0 || shape.columns % kTile != 0) throw Unsupported("tiles of 128 x 128");
    const dim3 tiles(static_cast<unsigned>(shape.columns / kTile), static_cast<unsigned>(shape.rows / kTile));
    transpose_bytes<<<tiles, kThreads, 0, stream>>>(reinterpret_cast<const std::uint8_t*>(at.in), reinterpret_cast<std::uint8_t*>(at.out),
                                                    static_cast<int>(shape.rows), static_cast<int>(shape.columns));
  } else {
    return false;
  }
  PROBE_CUDA(cudaGetLastError());
  return true;
}

}  // namespace probe
