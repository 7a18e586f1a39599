// The gate's inner loop: 16 tokens of one domain at once. Internal to moe/gate.
#pragma once

#include <cstdint>

namespace trillion {

inline constexpr std::int64_t kLanes = 16;
inline constexpr std::int64_t kMaxTopK = 64;
inline constexpr std::int64_t kMaxGroups = 64;
inline constexpr double kNoiseLevels = 16777216.0;  // the uniform noise is one of 2^24 levels

struct GateKernel {
  std::uint32_t experts = 0, top_k = 0, groups = 1, top_groups = 1, group_scores = 1;
  std::uint32_t number_mask = 0;  // the lowest bits of a key, which hold the expert's number
  const float* weight = nullptr;  // [expert], in noise levels
  const float* bias = nullptr;    // [expert], none negative
};

// Token keys (two random words per lane) and room for experts x kLanes floats.
struct GateBlock {
  const std::uint32_t* low = nullptr;
  const std::uint32_t* high = nullptr;
  float* keys = nullptr;
};

// Writes top_k expert numbers per lane, best first: out[lane * top_k + i]. Picks the instruction set at run time; the result is the same.
void route_block(const GateKernel& gate, const GateBlock& block, std::uint16_t* out);

}  // namespace trillion
