// Counter-based random numbers: the value is a pure function of (seed, stream, index), so that any thread can draw any
// number in any order and the result is the same bytes.
//
// Mixing: two rounds of the SplitMix64 finaliser (Steele, Lea, Flood, "Fast splittable pseudorandom number generators",
// OOPSLA 2014) over the three words.
#pragma once

#include <cmath>
#include <cstdint>

namespace trillion {

constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

class Random {
 public:
  constexpr Random(std::uint64_t seed, std::uint64_t stream) : key_(mix64(mix64(seed) ^ (stream * 0xd1342543de82ef95ull))) {}

  // 64 uniform bits.
  constexpr std::uint64_t bits(std::uint64_t index) const { return mix64(key_ ^ mix64(index)); }

  // Uniform in (0, 1): never 0, so that log() is safe.
  constexpr double uniform(std::uint64_t index) const {
    return (static_cast<double>(bits(index) >> 11) + 0.5) * (1.0 / 9007199254740992.0);
  }

  // Standard normal by Box-Muller; uses the uniforms 2·index and 2·index + 1.
  double normal(std::uint64_t index) const {
    const double radius = std::sqrt(-2.0 * std::log(uniform(2 * index)));
    return radius * std::cos(6.283185307179586 * uniform(2 * index + 1));
  }

 private:
  std::uint64_t key_;
};

}  // namespace trillion
