#include "sim/workload/operation.h"

namespace trillion {

Bytes left_in_memory(const Operation& op) {
  if (op.in_place) return {};
  return std::visit(
      [](const auto& k) {
        using K = std::decay_t<decltype(k)>;
        const auto product = [](std::int64_t a, std::int64_t b) { return static_cast<double>(a) * static_cast<double>(b); };
        if constexpr (std::is_same_v<K, Gemm>) {
          return Bytes{2} * product(k.m, k.n);
        } else if constexpr (std::is_same_v<K, MemoryBound>) {
          return k.written;
        } else if constexpr (std::is_same_v<K, GroupedGemm>) {
          double rows = 0;
          for (const std::int64_t m : k.m) rows += static_cast<double>(m);
          return Bytes{2} * (rows * static_cast<double>(k.n));
        } else {
          return Bytes{};
        }
      },
      op.what);
}

}  // namespace trillion
