#include "arena.h"

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <algorithm>

#include "check.h"

namespace probe {
namespace {

// Counter-based, so that the content depends on nothing but the seed (SplitMix64 and Box-Muller).
__device__ float normal(std::uint64_t seed, std::uint64_t i) {
  std::uint64_t z = (seed << 32) + (i + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  z ^= z >> 31;
  const float u = (static_cast<unsigned>(z >> 40) + 1) * 0x1p-24f;
  const float v = static_cast<unsigned>(z & 0xFFFFFF) * 0x1p-24f;
  return sqrtf(-2.0f * __logf(u)) * __cosf(6.2831853f * v);
}

template <typename T>
__global__ void fill_normal(T* out, std::size_t count, std::uint64_t seed) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    out[i] = static_cast<T>(normal(seed, i));
  }
}

__global__ void fill_ones(float* out, std::size_t count) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    out[i] = 1.0f;
  }
}

constexpr std::size_t kAlign = 1024;

std::size_t aligned(std::size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

}  // namespace

Arena::Arena(std::size_t bytes, Fill fill, std::uint64_t seed) : size_(aligned(bytes)) {
  PROBE_CUDA(cudaMalloc(&data_, size_));
  const int grid = 4096, block = 256;
  switch (fill) {
    case Fill::kNormalBf16: fill_normal<<<grid, block>>>(reinterpret_cast<__nv_bfloat16*>(data_), size_ / 2, seed); break;
    case Fill::kNormalFp8: fill_normal<<<grid, block>>>(reinterpret_cast<__nv_fp8_e4m3*>(data_), size_, seed); break;
    case Fill::kNormalFp32: fill_normal<<<grid, block>>>(reinterpret_cast<float*>(data_), size_ / 4, seed); break;
    case Fill::kOnesFp32: fill_ones<<<grid, block>>>(reinterpret_cast<float*>(data_), size_ / 4); break;
    case Fill::kZero: PROBE_CUDA(cudaMemset(data_, 0, size_)); break;
  }
  PROBE_CUDA(cudaGetLastError());
  PROBE_CUDA(cudaDeviceSynchronize());
}

Arena::~Arena() { cudaFree(data_); }

void fill_normal_bf16(void* data, std::size_t count, std::uint64_t seed) {
  fill_normal<<<4096, 256>>>(static_cast<__nv_bfloat16*>(data), count, seed);
  PROBE_CUDA(cudaGetLastError());
}

char* Arena::at(std::size_t bytes, int index) const {
  if (bytes > size_) throw Unsupported("operand larger than the probe's arena");
  const std::size_t stride = aligned(std::max<std::size_t>(1, bytes));
  const std::size_t places = std::max<std::size_t>(1, size_ / stride);
  if (places == 1) {
    // Too large for two places: shift within what is left over.
    const std::size_t room = (size_ - bytes) / kAlign + 1;
    return data_ + (static_cast<std::size_t>(index) * 4096 % room) * kAlign;
  }
  return data_ + (static_cast<std::size_t>(index) % places) * stride;
}

int Arena::rotations(std::size_t bytes_per_launch, std::size_t l2_bytes) {
  const std::size_t sets = 3 * l2_bytes / std::max<std::size_t>(1, bytes_per_launch) + 2;
  return static_cast<int>(std::clamp<std::size_t>(sets, 2, 256));
}

}  // namespace probe
