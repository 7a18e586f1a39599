// Kernels without a reduction: one functor each, over 16-byte groups of elements.
#include "check.h"
#include "memory_kernels.h"
#include "vector16.cuh"

namespace probe {
namespace {

using Bf16 = __nv_bfloat16;

// A thread handles kUnroll groups a block apart: all loads are in flight before the first store.
constexpr int kThreads = 256, kUnroll = 4;

template <typename Op>
__global__ void __launch_bounds__(kThreads) elementwise(const Op op, const std::int64_t groups) {
  const std::int64_t first = std::int64_t{blockIdx.x} * (kThreads * kUnroll) + threadIdx.x;
  typename Op::Loaded loaded[kUnroll];
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    if (const std::int64_t i = first + u * kThreads; i < groups) loaded[u] = op.load(i);
  }
#pragma unroll
  for (int u = 0; u < kUnroll; ++u) {
    if (const std::int64_t i = first + u * kThreads; i < groups) op.store(i, loaded[u]);
  }
}

template <typename Op>
void over(const Op& op, std::int64_t groups, cudaStream_t stream) {
  const std::int64_t per_block = kThreads * kUnroll;
  elementwise<<<static_cast<unsigned>((groups + per_block - 1) / per_block), kThreads, 0, stream>>>(op, groups);
  PROBE_CUDA(cudaGetLastError());
}

struct Copy {
  const int4* x;
  int4* y;
  using Loaded = int4;
  __device__ Loaded load(std::int64_t i) const { return __ldg(x + i); }
  __device__ void store(std::int64_t i, const Loaded& v) const { y[i] = v; }
};

struct Add {
  const Bf16 *x, *residual;
  Bf16* y;
  struct Loaded {
    Bf16x8 a, b;
  };
  __device__ Loaded load(std::int64_t i) const { return {load8(x + 8 * i), load8(residual + 8 * i)}; }
  __device__ void store(std::int64_t i, const Loaded& v) const {
    Bf16x8 sum;
#pragma unroll
    for (int p = 0; p < 4; ++p) sum.pair[p] = __hadd2(v.a.pair[p], v.b.pair[p]);
    store8(y + 8 * i, sum);
  }
};

struct SwiGlu {
  const Bf16 *gate, *up;
  Bf16* y;
  struct Loaded {
    Bf16x8 g, u;
  };
  __device__ Loaded load(std::int64_t i) const { return {load8(gate + 8 * i), load8(up + 8 * i)}; }
  __device__ void store(std::int64_t i, const Loaded& v) const {
    float g[8], u[8];
    unpack(v.g, g), unpack(v.u, u);
#pragma unroll
    for (int e = 0; e < 8; ++e) g[e] = __fdividef(g[e], 1.0f + __expf(-g[e])) * u[e];
    store8(y + 8 * i, pack(g));
  }
};

struct SwiGluBackward {
  const Bf16 *dy, *gate, *up;
  Bf16 *dgate, *dup;
  struct Loaded {
    Bf16x8 d, g, u;
  };
  __device__ Loaded load(std::int64_t i) const { return {load8(dy + 8 * i), load8(gate + 8 * i), load8(up + 8 * i)}; }
  __device__ void store(std::int64_t i, const Loaded& v) const {
    float d[8], g[8], u[8];
    unpack(v.d, d), unpack(v.g, g), unpack(v.u, u);
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      const float sigmoid = __fdividef(1.0f, 1.0f + __expf(-g[e]));
      const float silu = g[e] * sigmoid;
      const float slope = sigmoid * (1.0f + g[e] * (1.0f - sigmoid));
      g[e] = d[e] * u[e] * slope;
      u[e] = d[e] * silu;
    }
    store8(dgate + 8 * i, pack(g));
    store8(dup + 8 * i, pack(u));
  }
};

// x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3).
__device__ float gelu_u(float x) { return 0.7978845608f * x * (1.0f + 0.044715f * x * x); }
// The hardware's tanh: one instruction, as compiled training kernels use it.
__device__ float fast_tanh(float x) {
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

struct Gelu {
  const Bf16* x;
  Bf16* y;
  using Loaded = Bf16x8;
  __device__ Loaded load(std::int64_t i) const { return load8(x + 8 * i); }
  __device__ void store(std::int64_t i, const Loaded& v) const {
    float e[8];
    unpack(v, e);
#pragma unroll
    for (int j = 0; j < 8; ++j) e[j] = 0.5f * e[j] * (1.0f + fast_tanh(gelu_u(e[j])));
    store8(y + 8 * i, pack(e));
  }
};

struct GeluBackward {
  const Bf16 *dy, *x;
  Bf16* dx;
  struct Loaded {
    Bf16x8 d, x;
  };
  __device__ Loaded load(std::int64_t i) const { return {load8(dy + 8 * i), load8(x + 8 * i)}; }
  __device__ void store(std::int64_t i, const Loaded& v) const {
    float d[8], e[8];
    unpack(v.d, d), unpack(v.x, e);
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float t = fast_tanh(gelu_u(e[j]));
      const float slope = 0.7978845608f * (1.0f + 3.0f * 0.044715f * e[j] * e[j]);
      d[j] *= 0.5f * (1.0f + t) + 0.5f * e[j] * (1.0f - t * t) * slope;
    }
    store8(dx + 8 * i, pack(d));
  }
};

// Rotates neighbouring pairs by position x frequency; heads of 128.
struct Rope {
  const Bf16* x;
  Bf16* y;
  std::int64_t columns;
  using Loaded = Bf16x8;
  __device__ Loaded load(std::int64_t i) const { return load8(x + 8 * i); }
  __device__ void store(std::int64_t i, const Loaded& v) const {
    const std::int64_t element = 8 * i;
    const float position = static_cast<float>(element / columns);
    const int within = static_cast<int>(element % 128);
    float value[8];
    unpack(v, value);
#pragma unroll
    for (int p = 0; p < 4; ++p) {
      const float angle = position * exp2f(-13.2877f * (within / 2 + p) / 64.0f);  // 10000^(-pair / 64)
      float sine, cosine;
      __sincosf(angle, &sine, &cosine);
      const float a = value[2 * p], b = value[2 * p + 1];
      value[2 * p] = a * cosine - b * sine;
      value[2 * p + 1] = a * sine + b * cosine;
    }
    store8(y + 8 * i, pack(value));
  }
};

// Groups of four: a warp's stores are then contiguous.
struct CastFp32 {
  const int2* x;
  float4* y;
  using Loaded = int2;
  __device__ Loaded load(std::int64_t i) const { return __ldg(x + i); }
  __device__ void store(std::int64_t i, const Loaded& v) const {
    const float2 low = __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&v.x));
    const float2 high = __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&v.y));
    y[i] = make_float4(low.x, low.y, high.x, high.y);
  }
};

struct Float8 {
  float4 low, high;
  __device__ void to(float e[8]) const {
    e[0] = low.x, e[1] = low.y, e[2] = low.z, e[3] = low.w, e[4] = high.x, e[5] = high.y, e[6] = high.z, e[7] = high.w;
  }
  __device__ static Float8 of(const float e[8]) { return {make_float4(e[0], e[1], e[2], e[3]), make_float4(e[4], e[5], e[6], e[7])}; }
};

__device__ Float8 load_fp32(const float4* from, std::int64_t i) { return {from[2 * i], from[2 * i + 1]}; }
__device__ void store_fp32(float4* to, std::int64_t i, const Float8& v) { to[2 * i] = v.low, to[2 * i + 1] = v.high; }

struct CastBf16 {
  const float4* x;
  Bf16* y;
  using Loaded = Float8;
  __device__ Loaded load(std::int64_t i) const { return load_fp32(x, i); }
  __device__ void store(std::int64_t i, const Loaded& v) const {
    float e[8];
    v.to(e);
    store8(y + 8 * i, pack(e));
  }
};

struct GradientAccumulate {
  const Bf16* g;
  float4* sum;
  struct Loaded {
    Bf16x8 g;
    Float8 s;
  };
  __device__ Loaded load(std::int64_t i) const { return {load8(g + 8 * i), load_fp32(sum, i)}; }
  __device__ void store(std::int64_t i, const Loaded& v) const {
    float a[8], b[8];
    unpack(v.g, a), v.s.to(b);
#pragma unroll
    for (int e = 0; e < 8; ++e) b[e] += a[e];
    store_fp32(sum, i, Float8::of(b));
  }
};

__device__ void adam_update(const float g[8], float w[8], float m[8], float v[8]) {
#pragma unroll
  for (int e = 0; e < 8; ++e) {
    m[e] = 0.9f * m[e] + 0.1f * g[e];
    v[e] = 0.95f * v[e] + 0.05f * g[e] * g[e];
    w[e] -= 1e-4f * (m[e] * __frsqrt_rn(fabsf(v[e]) + 1e-16f) + 0.1f * w[e]);
  }
}

struct Adam {
  const float4* g;
  float4 *master, *m, *v;
  Bf16* weight;
  struct Loaded {
    Float8 g, w, m, v;
  };
  __device__ Loaded load(std::int64_t i) const { return {load_fp32(g, i), load_fp32(master, i), load_fp32(m, i), load_fp32(v, i)}; }
  __device__ void store(std::int64_t i, const Loaded& in) const {
    float eg[8], ew[8], em[8], ev[8];
    in.g.to(eg), in.w.to(ew), in.m.to(em), in.v.to(ev);
    adam_update(eg, ew, em, ev);
    store_fp32(master, i, Float8::of(ew)), store_fp32(m, i, Float8::of(em)), store_fp32(v, i, Float8::of(ev));
    store8(weight + 8 * i, pack(ew));
  }
};

struct AdamBf16States {
  const float4* g;
  float4* master;
  Bf16 *m, *v, *weight;
  struct Loaded {
    Float8 g, w;
    Bf16x8 m, v;
  };
  __device__ Loaded load(std::int64_t i) const { return {load_fp32(g, i), load_fp32(master, i), load8(m + 8 * i), load8(v + 8 * i)}; }
  __device__ void store(std::int64_t i, const Loaded& in) const {
    float eg[8], ew[8], em[8], ev[8];
    in.g.to(eg), in.w.to(ew), unpack(in.m, em), unpack(in.v, ev);
    adam_update(eg, ew, em, ev);
    store_fp32(master, i, Float8::of(ew));
    store8(m + 8 * i, pack(em)), store8(v + 8 * i, pack(ev)), store8(weight + 8 * i, pack(ew));
  }
};

}  // namespace

bool launch_elementwise(const MemoryShape& shape, const MemoryBuffers& at, cudaStream_t stream) {
  const std::int64_t n = shape.rows * shape.columns, groups = n / 8;
  const auto bf16_in = [&](std::int64_t elements) { return reinterpret_cast<Bf16*>(at.in) + elements; };
  const auto fp32_in = [&](std::int64_t elements) { return reinterpret_cast<float4*>(at.in + 4 * elements); };
  Bf16* out = reinterpret_cast<Bf16*>(at.out);
  if (shape.kernel == "copy") {
    over(Copy{reinterpret_cast<const int4*>(at.in), reinterpret_cast<int4*>(at.out)}, groups, stream);
  } else if (shape.kernel == "memcpy") {
    PROBE_CUDA(cudaMemcpyAsync(at.out, at.in, 2 * n, cudaMemcpyDeviceToDevice, stream));
  } else if (shape.kernel == "add") {
    over(Add{bf16_in(0), bf16_in(n), out}, groups, stream);
  } else if (shape.kernel == "swiglu") {
    over(SwiGlu{bf16_in(0), bf16_in(n), out}, groups, stream);
  } else if (shape.kernel == "swiglu_backward") {
    over(SwiGluBackward{bf16_in(0), bf16_in(n), bf16_in(2 * n), out, out + n}, groups, stream);
  } else if (shape.kernel == "gelu") {
    over(Gelu{bf16_in(0), out}, groups, stream);
  } else if (shape.kernel == "gelu_backward") {
    over(GeluBackward{bf16_in(0), bf16_in(n), out}, groups, stream);
  } else if (shape.kernel == "rope") {
    over(Rope{bf16_in(0), out, shape.columns}, groups, stream);
  } else if (shape.kernel == "cast_fp32") {
    over(CastFp32{reinterpret_cast<const int2*>(at.in), reinterpret_cast<float4*>(at.out)}, n / 4, stream);
  } else if (shape.kernel == "cast_bf16") {
    over(CastBf16{fp32_in(0), out}, groups, stream);
  } else if (shape.kernel == "gradient_accumulate") {
    over(GradientAccumulate{bf16_in(0), reinterpret_cast<float4*>(at.in + 2 * n)}, groups, stream);
  } else if (shape.kernel == "adam") {
    over(Adam{fp32_in(0), fp32_in(n), fp32_in(2 * n), fp32_in(3 * n), out}, groups, stream);
  } else if (shape.kernel == "adam_bf16_states") {
    over(AdamBf16States{fp32_in(0), fp32_in(n), bf16_in(4 * n), bf16_in(5 * n), out}, groups, stream);
  } else {
    return false;
  }
  return true;
}

}  // namespace probe
