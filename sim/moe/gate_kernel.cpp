#include "sim/moe/gate_kernel.h"

#include <cstring>

namespace trillion {
namespace {

// GCC's and Clang's portable vectors, as wide as the instruction set has registers: wider ones fall apart into scalars.
struct Avx512 {
  using Floats = float __attribute__((vector_size(64)));
  using Words = std::uint32_t __attribute__((vector_size(64)));
  using Integers = std::int32_t __attribute__((vector_size(64)));
};
struct Avx2 {
  using Floats = float __attribute__((vector_size(32)));
  using Words = std::uint32_t __attribute__((vector_size(32)));
  using Integers = std::int32_t __attribute__((vector_size(32)));
};
struct Portable {
  using Floats = float __attribute__((vector_size(16)));
  using Words = std::uint32_t __attribute__((vector_size(16)));
  using Integers = std::int32_t __attribute__((vector_size(16)));
};

#define TRILLION_INLINE __attribute__((always_inline)) inline

// By reference only: a vector passed by value would have another calling convention per instruction set.
template <class Words>
TRILLION_INLINE void load(const void* from, Words& to) {
  std::memcpy(&to, from, sizeof to);
}

// Keeps the larger in `kept`, hands the smaller on.
template <class Floats>
TRILLION_INLINE void exchange(Floats& kept, Floats& moving) {
  const Floats larger = kept > moving ? kept : moving;
  moving = kept > moving ? moving : kept;
  kept = larger;
}

// Keys of all experts, and per group the sum of its best group_scores keys.
template <class Set>
TRILLION_INLINE void compute_keys(const GateKernel& gate, const GateBlock& block, typename Set::Floats* keys,
                                  typename Set::Floats* group_sum) {
  using Floats = typename Set::Floats;
  using Words = typename Set::Words;
  using Integers = typename Set::Integers;
  Words low, high;
  load(block.low, low);
  load(block.high, high);
  const std::uint32_t per_group = gate.experts / gate.groups;
  Floats best[kMaxTopK];
  for (std::uint32_t g = 0; g < gate.groups; ++g) {
    for (std::uint32_t m = 0; m < gate.group_scores; ++m) best[m] = Floats{};
    for (std::uint32_t e = g * per_group; e < (g + 1) * per_group; ++e) {
      // Two rounds of multiply and fold, each with a half of the token's key; the top 24 bits are the noise.
      Words x = (low ^ (e * 0x9e3779b9u)) * 0x7feb352du;
      x = ((x ^ (x >> 15)) + high) * 0x846ca68bu;
      const Floats noise = __builtin_convertvector(reinterpret_cast<Integers>(x >> 8), Floats);
      const Floats raw = gate.weight[e] / (noise + gate.weight[e]) + gate.bias[e];
      Floats key = reinterpret_cast<Floats>((reinterpret_cast<Words>(raw) & ~gate.number_mask) | e);
      keys[e] = key;
      if (gate.groups == 1) continue;
      if (gate.group_scores == 2) {
        exchange(best[0], key);
        best[1] = best[1] > key ? best[1] : key;
      } else {
        for (std::uint32_t m = 0; m < gate.group_scores; ++m) exchange(best[m], key);
      }
    }
    group_sum[g] = best[0];
    for (std::uint32_t m = 1; m < gate.group_scores; ++m) group_sum[g] += best[m];
  }
}

// All bits set where the group is among the best top_groups; of equals the first.
template <class Set>
TRILLION_INLINE void choose_groups(const GateKernel& gate, const typename Set::Floats* group_sum, typename Set::Integers* chosen) {
  using Integers = typename Set::Integers;
  for (std::uint32_t g = 0; g < gate.groups; ++g) {
    Integers better{};
    for (std::uint32_t h = 0; h < gate.groups; ++h) better -= h < g ? group_sum[h] >= group_sum[g] : group_sum[h] > group_sum[g];
    chosen[g] = better < static_cast<std::int32_t>(gate.top_groups);
  }
}

// Sorts eight keys into falling order: Batcher's odd-even merge, 19 exchanges.
template <class Floats>
TRILLION_INLINE void sort_eight(Floats* k) {
  constexpr std::uint8_t kPairs[19][2] = {{0, 1}, {2, 3}, {4, 5}, {6, 7}, {0, 2}, {1, 3}, {4, 6}, {5, 7}, {1, 2}, {5, 6},
                                          {0, 4}, {1, 5}, {2, 6}, {3, 7}, {2, 4}, {3, 5}, {1, 2}, {3, 4}, {5, 6}};
#pragma GCC unroll 19
  for (const auto& pair : kPairs) exchange(k[pair[0]], k[pair[1]]);
}

// The best eight of two falling rows of eight, falling, into `kept`: the larger of opposite ends rise and fall once, three rounds sort
// that.
template <class Floats>
TRILLION_INLINE void keep_best_eight(Floats* kept, const Floats* others) {
#pragma GCC unroll 8
  for (std::uint32_t m = 0; m < 8; ++m) kept[m] = kept[m] > others[7 - m] ? kept[m] : others[7 - m];
#pragma GCC unroll 4
  for (std::uint32_t m = 0; m < 4; ++m) exchange(kept[m], kept[m + 4]);
  constexpr std::uint8_t kPairs[8][2] = {{0, 2}, {1, 3}, {4, 6}, {5, 7}, {0, 1}, {2, 3}, {4, 5}, {6, 7}};
#pragma GCC unroll 8
  for (const auto& pair : kPairs) exchange(kept[pair[0]], kept[pair[1]]);
}

// The best kCount keys of the chosen groups in falling order.
template <class Set, std::uint32_t kCount>
TRILLION_INLINE void choose_experts(const GateKernel& gate, const typename Set::Floats* keys, const typename Set::Integers* chosen,
                                    typename Set::Floats* best) {
  using Floats = typename Set::Floats;
  using Integers = typename Set::Integers;
  Floats kept[kCount];
  for (std::uint32_t m = 0; m < kCount; ++m) kept[m] = Floats{};
  const std::uint32_t per_group = gate.experts / gate.groups;
  const auto key_of = [&](std::uint32_t g, std::uint32_t e, Floats& key) {
    key = reinterpret_cast<Floats>(reinterpret_cast<Integers>(keys[e]) & chosen[g]);
  };
  for (std::uint32_t g = 0; g < gate.groups; ++g) {
    std::uint32_t e = g * per_group;
    const std::uint32_t end = e + per_group;
    if constexpr (kCount == 8) {  // eight at once: half the exchanges of one after the other
      for (; e + 8 <= end; e += 8) {
        Floats next[8];
#pragma GCC unroll 8
        for (std::uint32_t m = 0; m < 8; ++m) key_of(g, e + m, next[m]);
        sort_eight(next);
        keep_best_eight(kept, next);
      }
    }
    for (; e < end; ++e) {
      Floats key;
      key_of(g, e, key);
#pragma GCC unroll 64
      for (std::uint32_t m = 0; m < kCount; ++m) exchange(kept[m], key);
    }
  }
  for (std::uint32_t m = 0; m < kCount; ++m) best[m] = kept[m];
}

template <class Set>
TRILLION_INLINE void route_lanes(const GateKernel& gate, const GateBlock& block, std::uint16_t* out) {
  using Floats = typename Set::Floats;
  using Words = typename Set::Words;
  using Integers = typename Set::Integers;
  constexpr std::uint32_t kWidth = sizeof(Floats) / sizeof(float);
  Floats* keys = reinterpret_cast<Floats*>(block.keys);
  Floats group_sum[kMaxGroups], best[kMaxTopK];
  Integers chosen[kMaxGroups];
  for (std::uint32_t first = 0; first < kLanes; first += kWidth) {
    compute_keys<Set>(gate, {block.low + first, block.high + first, block.keys}, keys, group_sum);
    chosen[0] = ~Integers{};
    if (gate.groups > 1) choose_groups<Set>(gate, group_sum, chosen);
    if (gate.top_k <= 2)
      choose_experts<Set, 2>(gate, keys, chosen, best);
    else if (gate.top_k <= 4)
      choose_experts<Set, 4>(gate, keys, chosen, best);
    else if (gate.top_k <= 8)
      choose_experts<Set, 8>(gate, keys, chosen, best);
    else
      choose_experts<Set, kMaxTopK>(gate, keys, chosen, best);
    for (std::uint32_t m = 0; m < gate.top_k; ++m) {
      const Words number = reinterpret_cast<Words>(best[m]) & gate.number_mask;
      for (std::uint32_t lane = 0; lane < kWidth; ++lane) out[(first + lane) * gate.top_k + m] = static_cast<std::uint16_t>(number[lane]);
    }
  }
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) void route_avx512(const GateKernel& gate, const GateBlock& block, std::uint16_t* out) {
  route_lanes<Avx512>(gate, block, out);
}
__attribute__((target("avx2"))) void route_avx2(const GateKernel& gate, const GateBlock& block, std::uint16_t* out) {
  route_lanes<Avx2>(gate, block, out);
}
#endif

}  // namespace

void route_block(const GateKernel& gate, const GateBlock& block, std::uint16_t* out) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return route_avx512(gate, block, out);
  if (__builtin_cpu_supports("avx2")) return route_avx2(gate, block, out);
#endif
  route_lanes<Portable>(gate, block, out);
}

}  // namespace trillion
