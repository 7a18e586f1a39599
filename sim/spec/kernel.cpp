#include "sim/spec/kernel.h"

#include <numeric>

namespace trillion {

Bytes element_bytes(DType dtype) {
  switch (dtype) {
    case DType::bf16: return Bytes{2};
    case DType::fp8:
    case DType::fp8_block: return Bytes{1};
    case DType::fp32: return Bytes{4};
  }
  return Bytes{0};
}

Flops flops(const Gemm& g) { return Flops{2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k)}; }

Flops flops(const GroupedGemm& g) {
  const auto rows = std::accumulate(g.m.begin(), g.m.end(), std::int64_t{0});
  return Flops{2.0 * static_cast<double>(rows) * static_cast<double>(g.n) * static_cast<double>(g.k)};
}

Flops flops(const Attention& a) {
  // Causal with fewer queries than keys (a later slice of the sequence): query i sees keys - queries + i + 1 keys.
  const double q = static_cast<double>(a.queries), k = static_cast<double>(a.keys);
  const double pairs = a.causal ? q * (k - q) + q * q / 2 : q * k;
  const double heads = static_cast<double>(a.batch * a.heads);
  const double qk = static_cast<double>(a.qk_dim), v = static_cast<double>(a.v_dim);
  // Forward: Q K^T and P V. Backward: Q K^T again, dP = dO V^T, dV = P^T dO, dQ = dS K, dK = dS^T Q.
  const double products = a.direction == Direction::forward ? qk + v : 3 * qk + 2 * v;
  return Flops{2.0 * heads * pairs * products};
}

}  // namespace trillion
