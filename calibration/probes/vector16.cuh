// Sixteen bytes at a time: eight bf16 or four floats, loaded and stored as one access.
#pragma once

#include <cuda_bf16.h>

namespace probe {

struct alignas(16) Bf16x8 {
  __nv_bfloat162 pair[4];
};

__device__ inline Bf16x8 load8(const __nv_bfloat16* from) {
  Bf16x8 out;
  *reinterpret_cast<int4*>(&out) = __ldg(reinterpret_cast<const int4*>(from));
  return out;
}

__device__ inline void store8(__nv_bfloat16* to, const Bf16x8& value) {
  *reinterpret_cast<int4*>(to) = *reinterpret_cast<const int4*>(&value);
}

__device__ inline void unpack(const Bf16x8& packed, float out[8]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 two = __bfloat1622float2(packed.pair[i]);
    out[2 * i] = two.x;
    out[2 * i + 1] = two.y;
  }
}

__device__ inline Bf16x8 pack(const float in[8]) {
  Bf16x8 out;
#pragma unroll
  for (int i = 0; i < 4; ++i) out.pair[i] = __floats2bfloat162_rn(in[2 * i], in[2 * i + 1]);
  return out;
}

// Sum and maximum over a block of up to 1024 threads; every thread gets the result.
template <bool kMaximum>
__device__ inline float over_block(float value) {
  __shared__ float shared[33];
  const auto join = [](float a, float b) { return kMaximum ? fmaxf(a, b) : a + b; };
  for (int offset = 16; offset > 0; offset /= 2) value = join(value, __shfl_xor_sync(~0u, value, offset));
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  __syncthreads();
  if (lane == 0) shared[warp] = value;
  __syncthreads();
  if (warp == 0) {
    value = lane < warps ? shared[lane] : (kMaximum ? -INFINITY : 0.0f);
    for (int offset = 16; offset > 0; offset /= 2) value = join(value, __shfl_xor_sync(~0u, value, offset));
    if (lane == 0) shared[32] = value;
  }
  __syncthreads();
  return shared[32];
}

// Two sums at once: one synchronisation fewer than two calls.
__device__ inline float2 pair_over_block(float2 value) {
  __shared__ float2 shared[33];
  for (int offset = 16; offset > 0; offset /= 2) {
    value.x += __shfl_xor_sync(~0u, value.x, offset), value.y += __shfl_xor_sync(~0u, value.y, offset);
  }
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  __syncthreads();
  if (lane == 0) shared[warp] = value;
  __syncthreads();
  if (warp == 0) {
    value = lane < warps ? shared[lane] : make_float2(0, 0);
    for (int offset = 16; offset > 0; offset /= 2) {
      value.x += __shfl_xor_sync(~0u, value.x, offset), value.y += __shfl_xor_sync(~0u, value.y, offset);
    }
    if (lane == 0) shared[32] = value;
  }
  __syncthreads();
  return shared[32];
}

}  // namespace probe
