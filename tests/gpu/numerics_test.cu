// Do the probes compute what they claim to time? Each kernel against plain loops on the GPU, on random data.
//
// A probe that times the wrong product, mask or layout would calibrate everything wrongly and look fine. Exit code 0, or 1 with
// the names of what differs.
#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "arena.h"
#include "check.h"
#include "lt_gemm.h"
#include "memory_kernels.h"
#include "sdpa.h"

namespace {

using namespace probe;
using Bf16 = __nv_bfloat16;

int failures = 0;

// |got - want| / |want| over all elements; NaN fails.
void expect_close(const std::string& what, const std::vector<float>& got, const std::vector<float>& want, double bound) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += std::pow(double(got[i]) - want[i], 2);
    norm += std::pow(double(want[i]), 2);
  }
  const double error = std::sqrt(difference / norm);
  const bool good = error < bound;
  std::printf("%s %-60s relative error %.2e\n", good ? "ok  " : "FAIL", what.c_str(), error);
  if (!good) ++failures;
}

template <typename T>
std::vector<float> fetch(const void* device, std::size_t count) {
  std::vector<T> raw(count);
  PROBE_CUDA(cudaDeviceSynchronize());
  PROBE_CUDA(cudaMemcpy(raw.data(), device, count * sizeof(T), cudaMemcpyDeviceToHost));
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<float>(raw[i]);
  return out;
}

// C[m,n] = sum over k of A B, where a transposed operand is stored with its two indices exchanged.
template <typename T>
__global__ void plain_product(const T* a, const T* b, float* c, int m, int n, int k, bool a_transposed, bool b_transposed) {
  const int i = blockIdx.y * blockDim.y + threadIdx.y, j = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= m || j >= n) return;
  float sum = 0;
  for (int p = 0; p < k; ++p) {
    const float left = static_cast<float>(a_transposed ? a[std::size_t(p) * m + i] : a[std::size_t(i) * k + p]);
    const float right = static_cast<float>(b_transposed ? b[std::size_t(j) * k + p] : b[std::size_t(p) * n + j]);
    sum += left * right;
  }
  c[std::size_t(i) * n + j] = sum;
}

template <typename T>
std::vector<float> plain(const Arena& a, const Arena& b, const GemmShape& s, bool a_transposed, bool b_transposed) {
  Buffer c(s.m * s.n * 4);
  const dim3 threads(16, 16), blocks(unsigned(s.n + 15) / 16, unsigned(s.m + 15) / 16);
  plain_product<<<blocks, threads>>>(reinterpret_cast<const T*>(a.data()), reinterpret_cast<const T*>(b.data()),
                                     static_cast<float*>(c.data()), int(s.m), int(s.n), int(s.k), a_transposed, b_transposed);
  return fetch<float>(c.data(), s.m * s.n);
}

void test_gemm(const GemmMemory& memory) {
  for (const char* dtype : {"bf16", "fp8", "fp8_block"}) {
    for (const char* layout : {"forward", "input_gradient", "weight_gradient"}) {
      for (const bool accumulate : {false, true}) {
        const GemmShape shape{dtype, 384, 640, 512, layout, accumulate};
        const std::string what = std::string("gemm ") + dtype + " " + layout + (accumulate ? " accumulate" : "");
        try {
          const LtGemm gemm(shape, memory);
          const bool fp8 = shape.dtype != "bf16";
          const Arena &a = fp8 ? *memory.a8 : memory.a, &b = fp8 ? *memory.b8 : memory.b;
          // fp8 products take both operands with k innermost.
          const bool a_transposed = !fp8 && shape.layout == "weight_gradient";
          const bool b_transposed = fp8 || shape.layout == "forward";
          auto want = fp8 ? plain<__nv_fp8_e4m3>(a, b, shape, false, true) : plain<Bf16>(a, b, shape, a_transposed, b_transposed);
          const std::size_t count = shape.m * shape.n;
          Buffer c(count * 4);
          PROBE_CUDA(cudaMemset(c.data(), 0, count * 4));
          gemm.launch(nullptr, a.data(), b.data(), c.data());
          if (accumulate) gemm.launch(nullptr, a.data(), b.data(), c.data());
          if (accumulate) {
            for (float& x : want) x *= 2;
          }
          expect_close(what, accumulate ? fetch<float>(c.data(), count) : fetch<Bf16>(c.data(), count), want, 2e-2);
        } catch (const Unsupported& reason) {
          std::printf("skip %-60s %s\n", what.c_str(), reason.what());
        }
      }
    }
  }
}

// Element of a tensor stored as batch, position, head, dimension.
float at(const std::vector<float>& x, std::int64_t positions, std::int64_t heads, std::int64_t dim, std::int64_t b, std::int64_t position,
         std::int64_t h, std::int64_t d) {
  return x[((b * positions + position) * heads + h) * dim + d];
}

// Forward and backward by the formulas, in double, on the host.
void test_attention(const AttentionShape& s, const char* what) {
  try {
    const Sdpa sdpa(s, 1);
    sdpa.launch(nullptr, 0);
    const std::size_t q_count = s.batch * s.heads * s.queries * s.qk_dim;
    const std::size_t k_count = s.batch * s.kv_heads * s.keys * s.qk_dim;
    const std::size_t v_count = s.batch * s.kv_heads * s.keys * s.v_dim;
    const std::size_t o_count = s.batch * s.heads * s.queries * s.v_dim;
    const auto q = fetch<Bf16>(sdpa.buffer(0, Sdpa::kQ), q_count), k = fetch<Bf16>(sdpa.buffer(0, Sdpa::kK), k_count);
    const auto v = fetch<Bf16>(sdpa.buffer(0, Sdpa::kV), v_count);
    const auto d_o = s.backward ? fetch<Bf16>(sdpa.buffer(0, Sdpa::kOutGradient), o_count) : std::vector<float>(o_count);
    std::vector<float> o(o_count), dq(q_count), dk(k_count), dv(v_count);
    const double scale = 1 / std::sqrt(double(s.qk_dim));
    std::vector<double> p(s.keys), dp(s.keys);
    for (std::int64_t b = 0; b < s.batch; ++b) {
      for (std::int64_t h = 0; h < s.heads; ++h) {
        const std::int64_t g = h / (s.heads / s.kv_heads);
        for (std::int64_t i = 0; i < s.queries; ++i) {
          const std::int64_t seen = s.causal ? i + 1 : s.keys;
          double sum = 0, dot = 0;
          for (std::int64_t j = 0; j < seen; ++j) {
            double score = 0;
            for (std::int64_t d = 0; d < s.qk_dim; ++d) {
              score += at(q, s.queries, s.heads, s.qk_dim, b, i, h, d) * at(k, s.keys, s.kv_heads, s.qk_dim, b, j, g, d);
            }
            sum += p[j] = std::exp(score * scale);
          }
          for (std::int64_t j = 0; j < seen; ++j) {
            p[j] /= sum, dp[j] = 0;
            for (std::int64_t d = 0; d < s.v_dim; ++d) {
              const double value = at(v, s.keys, s.kv_heads, s.v_dim, b, j, g, d);
              const double gradient = at(d_o, s.queries, s.heads, s.v_dim, b, i, h, d);
              o[((b * s.queries + i) * s.heads + h) * s.v_dim + d] += float(p[j] * value);
              dv[((b * s.keys + j) * s.kv_heads + g) * s.v_dim + d] += float(p[j] * gradient);
              dp[j] += gradient * value;
            }
            dot += p[j] * dp[j];
          }
          for (std::int64_t j = 0; j < seen; ++j) {
            const double ds = p[j] * (dp[j] - dot) * scale;
            for (std::int64_t d = 0; d < s.qk_dim; ++d) {
              const std::size_t qi = ((b * s.queries + i) * s.heads + h) * s.qk_dim + d;
              const std::size_t kj = ((b * s.keys + j) * s.kv_heads + g) * s.qk_dim + d;
              dq[qi] += float(ds * k[kj]), dk[kj] += float(ds * q[qi]);
            }
          }
        }
      }
    }
    const std::string name = std::string("attention ") + what;
    expect_close(name + " O", fetch<Bf16>(sdpa.buffer(0, Sdpa::kO), o_count), o, 2e-2);
    if (!s.backward) return;
    expect_close(name + " dQ", fetch<Bf16>(sdpa.buffer(0, Sdpa::kQGradient), q_count), dq, 3e-2);
    expect_close(name + " dK", fetch<Bf16>(sdpa.buffer(0, Sdpa::kKGradient), k_count), dk, 3e-2);
    expect_close(name + " dV", fetch<Bf16>(sdpa.buffer(0, Sdpa::kVGradient), v_count), dv, 3e-2);
  } catch (const Unsupported& reason) {
    std::printf("skip attention %-50s %s\n", what, reason.what());
  }
}

void test_memory(const Arena& in, int sm_count) {
  const std::int64_t rows = 256, columns = 1024, n = rows * columns;
  Buffer out(n * 8), partial(std::size_t(8) * sm_count * columns * 4), shuffled(rows * 4);
  std::vector<int> order(rows);
  for (int i = 0; i < rows; ++i) order[i] = (i * 37 + 5) % int(rows);
  PROBE_CUDA(cudaMemcpy(shuffled.data(), order.data(), rows * 4, cudaMemcpyHostToDevice));
  const MemoryBuffers at{in.data(), static_cast<char*>(out.data()), static_cast<const int*>(shuffled.data()),
                         static_cast<float*>(partial.data())};
  const auto x = fetch<Bf16>(in.data(), 4 * n);
  const auto run = [&](const char* kernel) {
    PROBE_CUDA(cudaMemset(out.data(), 0xFF, out.bytes()));
    launch_memory_kernel({kernel, rows, columns}, at, sm_count, nullptr);
    return fetch<Bf16>(out.data(), n);
  };
  const auto expect = [&](const char* kernel, auto&& formula, double bound = 1e-2) {
    const auto got = run(kernel);
    std::vector<float> want(n);
    for (std::int64_t i = 0; i < n; ++i) want[i] = formula(i);
    expect_close(std::string("memory ") + kernel, got, want, bound);
  };
  expect("copy", [&](std::int64_t i) { return x[i]; });
  expect("add", [&](std::int64_t i) { return x[i] + x[n + i]; });
  expect("swiglu", [&](std::int64_t i) { return x[i] / (1 + std::exp(-x[i])) * x[n + i]; });
  expect("swiglu_backward", [&](std::int64_t i) {
    const float sigmoid = 1 / (1 + std::exp(-x[n + i]));
    return x[i] * x[2 * n + i] * sigmoid * (1 + x[n + i] * (1 - sigmoid));
  });
  const auto gelu_u = [](double v) { return 0.7978845608 * (v + 0.044715 * v * v * v); };
  expect("gelu", [&](std::int64_t i) { return float(0.5 * x[i] * (1 + std::tanh(gelu_u(x[i])))); });
  expect("gelu_backward", [&](std::int64_t i) {
    const double v = x[n + i], t = std::tanh(gelu_u(v));
    return float(x[i] * (0.5 * (1 + t) + 0.5 * v * (1 - t * t) * 0.7978845608 * (1 + 3 * 0.044715 * v * v)));
  });
  auto zeros = run("zero");
  for (float& value : zeros) value += 1;
  expect_close("memory zero", zeros, std::vector<float>(n, 1), 1e-9);
  expect("permute", [&](std::int64_t i) { return x[order[i / columns] * columns + i % columns]; });
  expect("softmax", [&](std::int64_t i) {
    double sum = 0;
    for (std::int64_t c = 0; c < columns; ++c) sum += std::exp(x[i / columns * columns + c]);
    return float(std::exp(x[i]) / sum);
  });
  std::vector<double> scale(rows), pull(rows);
  for (std::int64_t r = 0; r < rows; ++r) {
    double squares = 0, dot = 0;
    for (std::int64_t c = 0; c < columns; ++c) {
      const double value = x[n + r * columns + c];
      squares += value * value, dot += x[2 * n + c] * x[r * columns + c] * value;
    }
    scale[r] = 1 / std::sqrt(squares / columns + 1e-6), pull[r] = dot / columns * scale[r] * scale[r];
  }
  expect("rms_norm_backward", [&](std::int64_t i) {
    const std::int64_t r = i / columns;
    return float(scale[r] * (x[2 * n + i % columns] * x[i] - x[n + i] * pull[r]));
  });
  for (std::int64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (std::int64_t c = 0; c < columns; ++c) squares += x[r * columns + c] * x[r * columns + c];
    scale[r] = 1 / std::sqrt(squares / columns + 1e-6);
  }
  expect("rms_norm", [&](std::int64_t i) { return float(x[i] * scale[i / columns] * x[n + i % columns]); });
  run("gradient_norm");
  const auto numbers = fetch<float>(in.data(), n);
  double sum = 0;
  for (const float value : numbers) sum += double(value) * value;
  expect_close("memory gradient_norm", fetch<float>(out.data(), 1), {float(sum)}, 1e-3);
  run("transpose");
  const auto bytes = fetch<std::uint8_t>(in.data(), n), turned = fetch<std::uint8_t>(out.data(), n);
  std::vector<float> want_turned(n);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) want_turned[c * rows + r] = bytes[r * columns + c];
  }
  expect_close("memory transpose", turned, want_turned, 1e-9);
  // Quantized values times their scale give back the operand to e4m3's 3 bits.
  for (const char* kernel : {"cast_fp8", "cast_fp8_block", "cast_fp8_transpose"}) {
    run(kernel);
    const auto values = fetch<__nv_fp8_e4m3>(out.data(), 2 * n);
    const bool both = std::string(kernel) == "cast_fp8_transpose", block = std::string(kernel) == "cast_fp8_block";
    const auto scales = fetch<float>(static_cast<char*>(out.data()) + (both ? 2 * n : n), 2 * n / 128);
    std::vector<float> got(n), want(x.begin(), x.begin() + n), transposed(n);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c) {
        const std::int64_t group = block ? r / 128 * (columns / 128) + c / 128 : r * (columns / 128) + c / 128;
        got[r * columns + c] = values[r * columns + c] * scales[group];
        if (both) transposed[r * columns + c] = values[n + c * rows + r] * scales[n / 128 + c * (rows / 128) + r / 128];
      }
    }
    expect_close(std::string("memory ") + kernel, got, want, 4e-2);
    if (both) expect_close("memory cast_fp8_transpose, transposed", transposed, want, 4e-2);
  }
}

}  // namespace

int main() {
  try {
    int sm_count = 0;
    PROBE_CUDA(cudaDeviceGetAttribute(&sm_count, cudaDevAttrMultiProcessorCount, 0));
    const GemmMemory memory(std::size_t{16} << 20, true);
    test_gemm(memory);
    for (const bool backward : {false, true}) {
      test_attention({1, 4, 4, 256, 256, 128, 128, true, backward}, backward ? "MHA causal backward" : "MHA causal");
      test_attention({2, 4, 2, 128, 128, 64, 64, true, backward}, backward ? "GQA 64 backward" : "GQA 64");
      test_attention({1, 2, 2, 256, 256, 192, 128, true, backward}, backward ? "MLA backward" : "MLA");
      test_attention({1, 2, 2, 128, 256, 128, 128, false, backward}, backward ? "no mask backward" : "no mask");
    }
    test_memory(memory.a, sm_count);
  } catch (const std::exception& error) {
    std::printf("FAIL %s\n", error.what());
    return 1;
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
