// Kernels that reduce along a row: norms, softmax, cross-entropy.
#include <algorithm>

#include "check.h"
#include "memory_kernels.h"
#include "vector16.cuh"

namespace probe {
namespace {

using Bf16 = __nv_bfloat16;
constexpr int kThreads = 256;
constexpr float kEpsilon = 1e-6f;

// A row of up to kThreads x 8 x kGroups elements stays in registers between its two uses.
template <int kGroups>
__global__ void __launch_bounds__(kThreads) rms_norm(const Bf16* x, const Bf16* weight, Bf16* y, int columns) {
  const Bf16* row = x + std::int64_t{blockIdx.x} * columns;
  Bf16x8 held[kGroups];
  float sum = 0;
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const int c = (g * kThreads + threadIdx.x) * 8;
    if (c >= columns) continue;
    held[g] = load8(row + c);
    float e[8];
    unpack(held[g], e);
#pragma unroll
    for (int i = 0; i < 8; ++i) sum += e[i] * e[i];
  }
  const float scale = rsqrtf(over_block<false>(sum) / columns + kEpsilon);
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const int c = (g * kThreads + threadIdx.x) * 8;
    if (c >= columns) continue;
    float e[8], w[8];
    unpack(held[g], e), unpack(load8(weight + c), w);
#pragma unroll
    for (int i = 0; i < 8; ++i) e[i] *= scale * w[i];
    store8(y + std::int64_t{blockIdx.x} * columns + c, pack(e));
  }
}

// dx = r (w dy - x r^2 mean(w dy x)); a block walks many rows and keeps its part of dweight in registers.
template <int kGroups>
__global__ void __launch_bounds__(kThreads)
    rms_norm_backward(const Bf16* dy, const Bf16* x, const Bf16* weight, Bf16* dx, float* partial, int rows, int columns) {
  float dweight[kGroups][8] = {};
  for (int r = blockIdx.x; r < rows; r += gridDim.x) {
    const std::int64_t base = std::int64_t{r} * columns;
    Bf16x8 held_x[kGroups], held_dy[kGroups];
    float squares = 0, dot = 0;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const int c = (g * kThreads + threadIdx.x) * 8;
      if (c >= columns) continue;
      held_x[g] = load8(x + base + c), held_dy[g] = load8(dy + base + c);
    }
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const int c = (g * kThreads + threadIdx.x) * 8;
      if (c >= columns) continue;
      float ex[8], ed[8], w[8];
      unpack(held_x[g], ex), unpack(held_dy[g], ed), unpack(load8(weight + c), w);
#pragma unroll
      for (int i = 0; i < 8; ++i) squares += ex[i] * ex[i], dot += w[i] * ed[i] * ex[i];
    }
    const float2 sums = pair_over_block(make_float2(squares, dot));
    const float scale = rsqrtf(sums.x / columns + kEpsilon);
    const float pull = sums.y / columns * scale * scale;
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const int c = (g * kThreads + threadIdx.x) * 8;
      if (c >= columns) continue;
      float ex[8], ed[8], w[8];
      unpack(held_x[g], ex), unpack(held_dy[g], ed), unpack(load8(weight + c), w);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        dweight[g][i] += ed[i] * ex[i] * scale;
        ed[i] = scale * (w[i] * ed[i] - ex[i] * pull);
      }
      store8(dx + base + c, pack(ed));
    }
  }
#pragma unroll
  for (int g = 0; g < kGroups; ++g) {
    const int c = (g * kThreads + threadIdx.x) * 8;
    if (c >= columns) continue;
    for (int i = 0; i < 8; ++i) partial[std::int64_t{blockIdx.x} * columns + c + i] = dweight[g][i];
  }
}

// Sums the blocks' parts: 32 columns a block, 32 threads down each column.
__global__ void __launch_bounds__(1024) sum_partials(const float* partial, Bf16* out, int blocks, int columns) {
  __shared__ float tile[32][33];
  const int lane = threadIdx.x % 32, down = threadIdx.x / 32, c = blockIdx.x * 32 + lane;
  float sum = 0;
#pragma unroll 4
  for (int b = down; b < blocks; b += 32) sum += c < columns ? partial[std::int64_t{b} * columns + c] : 0.0f;
  tile[down][lane] = sum;
  __syncthreads();
  sum = tile[lane][down];
  for (int o = 16; o > 0; o /= 2) sum += __shfl_xor_sync(~0u, sum, o);
  if (lane == 0 && blockIdx.x * 32 + down < columns) out[blockIdx.x * 32 + down] = __float2bfloat16(sum);
}

// One warp a row of up to 1024 columns: gates over experts.
__global__ void softmax_narrow(const Bf16* x, Bf16* y, int rows, int columns) {
  const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  float e[4][8], largest = -INFINITY, sum = 0;
#pragma unroll
  for (int g = 0; g < 4; ++g) {
    const int c = (g * 32 + lane) * 8;
    if (c < columns) unpack(load8(x + std::int64_t{row} * columns + c), e[g]);
    for (int i = 0; i < 8 && c < columns; ++i) largest = fmaxf(largest, e[g][i]);
  }
  for (int o = 16; o > 0; o /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, o));
#pragma unroll
  for (int g = 0; g < 4; ++g) {
    const int c = (g * 32 + lane) * 8;
    for (int i = 0; i < 8 && c < columns; ++i) sum += e[g][i] = __expf(e[g][i] - largest);
  }
  for (int o = 16; o > 0; o /= 2) sum += __shfl_xor_sync(~0u, sum, o);
#pragma unroll
  for (int g = 0; g < 4; ++g) {
    const int c = (g * 32 + lane) * 8;
    for (int i = 0; i < 8; ++i) e[g][i] /= sum;
    if (c < columns) store8(y + std::int64_t{row} * columns + c, pack(e[g]));
  }
}

// Log-sum-exp of a vocabulary row in one pass (running maximum, rescaled sum); the target's logit makes the loss.
__global__ void __launch_bounds__(1024) cross_entropy(const Bf16* logits, float2* out, int columns) {
  const Bf16* row = logits + std::int64_t{blockIdx.x} * columns;
  float largest = -INFINITY, sum = 0;
  for (int c = threadIdx.x * 8; c < columns; c += blockDim.x * 8) {
    float e[8];
    unpack(load8(row + c), e);
    float top = e[0];
#pragma unroll
    for (int i = 1; i < 8; ++i) top = fmaxf(top, e[i]);
    const float now = fmaxf(largest, top);
    sum *= __expf(largest - now);
#pragma unroll
    for (int i = 0; i < 8; ++i) sum += __expf(e[i] - now);
    largest = now;
  }
  const float top = over_block<true>(largest);
  const float total = over_block<false>(sum * __expf(largest - top));
  if (threadIdx.x == 0) {
    const int target = blockIdx.x * 7919 % columns;
    const float log_sum = top + __logf(total);
    out[blockIdx.x] = make_float2(log_sum - __bfloat162float(row[target]), log_sum);
  }
}

// dlogits = (softmax - one-hot) / rows, from the stored log-sum-exp.
__global__ void __launch_bounds__(1024)
    cross_entropy_backward(const Bf16* logits, const float* log_sum, Bf16* dlogits, int columns, float scale) {
  const std::int64_t base = std::int64_t{blockIdx.x} * columns;
  const float shift = log_sum[blockIdx.x];
  const int target = blockIdx.x * 7919 % columns;
#pragma unroll 2
  for (int c = threadIdx.x * 8; c < columns; c += blockDim.x * 8) {
    float e[8];
    unpack(load8(logits + base + c), e);
#pragma unroll
    for (int i = 0; i < 8; ++i) e[i] = (__expf(e[i] - shift) - (c + i == target ? 1.0f : 0.0f)) * scale;
    store8(dlogits + base + c, pack(e));
  }
}

template <typename Run>
void with_groups(int columns, const Run& run) {
  const int groups = (columns + kThreads * 8 - 1) / (kThreads * 8);
  if (groups <= 1) return run(std::integral_constant<int, 1>());
  if (groups <= 2) return run(std::integral_constant<int, 2>());
  if (groups <= 4) return run(std::integral_constant<int, 4>());
  if (groups <= 8) return run(std::integral_constant<int, 8>());
  throw Unsupported("rows of more than 16384 columns");
}

}  // namespace

bool launch_rowwise(const MemoryShape& shape, const MemoryBuffers& at, int sm_count, cudaStream_t stream) {
  const int rows = static_cast<int>(shape.rows), columns = static_cast<int>(shape.columns);
  const std::int64_t n = shape.rows * shape.columns;
  const Bf16* in = reinterpret_cast<const Bf16*>(at.in);
  Bf16* out = reinterpret_cast<Bf16*>(at.out);
  if (shape.kernel == "rms_norm") {
    with_groups(columns, [&](auto groups) { rms_norm<groups.value><<<rows, kThreads, 0, stream>>>(in, in + n, out, columns); });
  } else if (shape.kernel == "rms_norm_backward") {
    int blocks = 0;
    with_groups(columns, [&](auto groups) {
      // As many blocks as the registers leave room for: 8, 4, 4 and 2 an SM.
      blocks = std::min(rows, sm_count * (groups.value == 1 ? 8 : groups.value == 8 ? 2 : 4));
      rms_norm_backward<groups.value><<<blocks, kThreads, 0, stream>>>(in, in + n, in + 2 * n, out, at.partial, rows, columns);
    });
    sum_partials<<<(columns + 31) / 32, 1024, 0, stream>>>(at.partial, out + n, blocks, columns);
  } else if (shape.kernel == "softmax") {
    if (columns > 1024) throw Unsupported("softmax of more than 1024 columns");
    softmax_narrow<<<(rows + 7) / 8, 256, 0, stream>>>(in, out, rows, columns);
  } else if (shape.kernel == "cross_entropy") {
    cross_entropy<<<rows, 1024, 0, stream>>>(in, reinterpret_cast<float2*>(at.out), columns);
  } else if (shape.kernel == "cross_entropy_backward") {
    cross_entropy_backward<<<rows, 1024, 0, stream>>>(in, reinterpret_cast<const float*>(in + n), out, columns, 1.0f / rows);
  } else {
    return false;
  }
  PROBE_CUDA(cudaGetLastError());
  return true;
}

}  // namespace probe
