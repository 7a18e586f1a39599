#include "gemm_shapes.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <tuple>

#include "filling.h"

namespace probe {
namespace {

constexpr const char* kLayouts[] = {"forward", "input_gradient", "weight_gradient"};

std::int64_t log_uniform(double u, double low, double high, std::int64_t step) {
  const double value = low * std::pow(high / low, u);
  const auto rounded = static_cast<std::int64_t>(std::llround(value / step)) * step;
  return std::clamp<std::int64_t>(rounded, step, static_cast<std::int64_t>(high));
}

// SplitMix64: what else varies (layout, rounding, accumulation) must not march in step with the design's recurrence.
std::uint64_t mixed(std::uint64_t i) {
  std::uint64_t z = (i + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

// Design point i. Real extents are mostly multiples of 64 or 128; token counts of experts are anything. One point
// in six has an m that is a multiple of 8 only, one in six n and k that are multiples of 16 only.
GemmShape design_point(int i, const std::string& dtype, const std::string& layout) {
  GemmShape shape;
  shape.dtype = dtype;
  shape.layout = layout;
  const bool fp8 = dtype != "bf16";
  const std::uint64_t kind = mixed(i) / 3 % 6;
  const std::int64_t m_step = kind == 3 ? (fp8 ? 16 : 8) : 128;
  const std::int64_t nk_step = kind == 5 ? 16 : kind % 2 == 0 ? 128 : 64;
  // fp8_block scales cover 128 of k.
  const std::int64_t k_step = dtype == "fp8_block" ? 128 : nk_step;
  shape.m = log_uniform(filling(i, 0), 128, 32768, m_step);
  shape.n = log_uniform(filling(i, 1), 256, 32768, nk_step);
  shape.k = log_uniform(filling(i, 2), 256, 32768, k_step);
  return shape;
}

// Products that do not fill the chip, where the library's choice of tile and split decides: at most as many tiles of 128 x 128
// as an H100 has SMs.
GemmShape small_point(int i, const std::string& dtype, const std::string& layout) {
  GemmShape shape = design_point(i, dtype, layout);
  const std::uint64_t kind = mixed(i) / 3 % 6;
  const std::int64_t step = kind == 5 ? 16 : 64;
  const double tiles = 132 * filling(i, 0) + 1, aspect = std::exp2(6 * filling(i, 1) - 3);
  const auto side = [&](double length, std::int64_t unit) {
    return std::max(unit, static_cast<std::int64_t>(std::llround(length / static_cast<double>(unit))) * unit);
  };
  shape.m = std::max<std::int64_t>(128, side(128 * std::sqrt(tiles * aspect), kind == 3 ? 16 : 64));
  shape.n = std::max<std::int64_t>(256, side(128 * std::sqrt(tiles / aspect), step));
  return shape;
}

struct Linear {
  std::int64_t out, in;
  bool column;  // tensor parallelism divides out (column) or in (row)
};

// Projections, feed-forward, experts, heads: DeepSeek-V3, V2, V2-Lite, 67B, Qwen2.5-72B, Llama-3.1-8B, 70B, 405B,
// Mixtral-8x7B, GPT-3.
constexpr Linear kLinears[] = {
    {1536, 7168, true},    {24576, 1536, true},   {576, 7168, true},     {32768, 512, true},    {7168, 16384, false}, {36864, 7168, true},
    {7168, 18432, false},  {4096, 7168, true},    {7168, 2048, false},   {129280, 7168, true},  {1536, 5120, true},   {24576, 5120, true},
    {5120, 16384, false},  {24576, 5120, true},   {5120, 12288, false},  {3072, 5120, true},    {5120, 1536, false},  {102400, 5120, true},
    {3072, 2048, true},    {4096, 512, true},     {2048, 2048, false},   {21888, 2048, true},   {2048, 10944, false}, {2816, 2048, true},
    {2048, 1408, false},   {102400, 2048, true},  {10240, 8192, true},   {8192, 8192, false},   {44032, 8192, true},  {8192, 22016, false},
    {102400, 8192, true},  {59136, 8192, true},   {8192, 29568, false},  {152064, 8192, true},  {6144, 4096, true},   {4096, 4096, false},
    {28672, 4096, true},   {4096, 14336, false},  {128256, 4096, true},  {57344, 8192, true},   {8192, 28672, false}, {128256, 8192, true},
    {18432, 16384, true},  {16384, 16384, false}, {106496, 16384, true}, {16384, 53248, false}, {32000, 4096, true},  {36864, 12288, true},
    {12288, 12288, false}, {49152, 12288, true},  {12288, 49152, false}, {50304, 12288, true},  {7168, 2048, true},   {256, 7168, true}};

GemmShape linear_point(const Linear& linear, std::int64_t tokens, int parallel, const std::string& dtype, const std::string& layout) {
  const std::int64_t out = linear.column ? linear.out / parallel : linear.out;
  const std::int64_t in = linear.column ? linear.in : linear.in / parallel;
  GemmShape shape;
  shape.dtype = dtype;
  shape.layout = layout;
  if (layout == "forward") {
    std::tie(shape.m, shape.n, shape.k) = std::tuple{tokens, out, in};
  } else if (layout == "input_gradient") {
    std::tie(shape.m, shape.n, shape.k) = std::tuple{tokens, in, out};
  } else {
    std::tie(shape.m, shape.n, shape.k) = std::tuple{out, in, tokens};
  }
  return shape;
}

class PointList {
 public:
  void add(const GemmShape& shape, Load load) {
    if (shape.m < 16 || shape.n < 16 || shape.k < 16) return;
    const std::int64_t unit = shape.dtype == "bf16" ? 8 : 16;
    if (shape.n % unit != 0 || shape.k % unit != 0) return;
    if (shape.dtype == "fp8_block" && shape.k % 128 != 0) return;
    if (seen_.insert(shape.row(name(load)).members()).second) points_.push_back({shape, load});
  }

  // Design points first..last, layouts drawn; half of the weight gradients accumulate in fp32.
  void add_design(const std::string& dtype, int first, int last, Load load, int sms = 0) {
    for (int i = first; i < last; ++i) {
      GemmShape shape = design_point(i, dtype, kLayouts[mixed(i) % 3]);
      shape.accumulate = shape.layout == "weight_gradient" && mixed(i) / 18 % 2 == 0;
      shape.sms = sms;
      add(shape, load);
    }
  }

  void add_small(const std::string& dtype, int first, int last, Load load) {
    for (int i = first; i < last; ++i) {
      GemmShape shape = small_point(i, dtype, kLayouts[mixed(i) % 3]);
      shape.accumulate = shape.layout == "weight_gradient" && mixed(i) / 18 % 2 == 0;
      add(shape, load);
    }
  }

  // The models' products; which layout, token count and parallelism each takes rotates.
  void add_models(const std::string& dtype, int turn, int stride, Load load, int sms = 0) {
    constexpr int kParallel[] = {1, 8, 2, 4};
    int i = turn;
    for (const Linear& linear : kLinears) {
      if (i++ % stride != 0) continue;
      const int pick = i / stride + turn;
      GemmShape shape = linear_point(linear, pick % 2 == 0 ? 4096 : 8192, kParallel[(pick / 2) % 4], dtype, kLayouts[pick % 3]);
      shape.accumulate = shape.layout == "weight_gradient" && pick % 2 == 0;
      shape.sms = sms;
      add(shape, load);
    }
  }

  std::vector<GemmPoint> take() { return std::move(points_); }

 private:
  std::vector<GemmPoint> points_;
  std::set<std::string> seen_;
};

}  // namespace

std::vector<GemmPoint> gemm_points() {
  PointList list;
  const GemmShape reference{"bf16", 8192, 8192, 8192};
  list.add(reference, Load::kBurst);
  GemmShape reference8 = reference;
  reference8.dtype = "fp8";
  list.add(reference8, Load::kBurst);
  reference8.dtype = "fp8_block";
  list.add(reference8, Load::kBurst);
  // Rounds of a little of everything, so that a cut run is balanced; sustained points stay together, so the chip stays hot.
  for (int round = 0; round < 6; ++round) {
    const auto part = [&](int count) { return std::pair{round * count, round * count + count}; };
    const auto design = [&](const char* dtype, int count, Load load, int sms = 0) {
      list.add_design(dtype, part(count).first, part(count).second, load, sms);
    };
    design("bf16", 90, Load::kBurst);
    list.add_models("bf16", round, 1, Load::kBurst);
    design("fp8", 50, Load::kBurst);
    list.add_models("fp8", round + 1, 2, Load::kBurst);
    design("fp8_block", 50, Load::kBurst);
    list.add_models("fp8_block", round + 2, 2, Load::kBurst);
    if (round < 3) {
      for (const int sms : {112, 124}) {
        design("bf16", 12, Load::kBurst, sms);
        list.add_models("bf16", round, 6, Load::kBurst, sms);
        design("fp8", 6, Load::kBurst, sms);
        design("fp8_block", 6, Load::kBurst, sms);
      }
    }
    if (round == 0) list.add(reference, Load::kSustained);
    design("bf16", 30, Load::kSustained);
    list.add_models("bf16", round, 4, Load::kSustained);
    design("fp8", 15, Load::kSustained);
    list.add_models("fp8", round + 1, 8, Load::kSustained);
    design("fp8_block", 12, Load::kSustained);
    list.add_models("fp8_block", round + 2, 14, Load::kSustained);
  }
  // More of the design where ten minutes are not the limit: random shapes, and those that leave SMs idle.
  for (int round = 6; round < 18; ++round) {
    const auto more = [&](const char* dtype, int burst, int sustained) {
      list.add_design(dtype, round * 90, round * 90 + burst, Load::kBurst);
      list.add_small(dtype, round * 90, round * 90 + burst / 2, Load::kBurst);
      list.add_design(dtype, round * 30, round * 30 + sustained, Load::kSustained);
    };
    more("bf16", 90, 20);
    more("fp8", 60, 12);
    more("fp8_block", 60, 12);
  }
  // Longer still: what a power limit leaves, of which each point takes most of a second.
  for (int round = 18; round < 30; ++round) {
    for (const char* dtype : {"fp8", "fp8_block", "bf16"}) {
      list.add_design(dtype, round * 90, round * 90 + 12, Load::kSustained);
      list.add_small(dtype, round * 90, round * 90 + 4, Load::kSustained);
    }
  }
  // Points that no earlier list had, a little of everything in each round: measured last, so that fits can be tested on them unseen.
  for (int round = 30; round < 60; ++round) {
    for (const char* dtype : {"fp8", "fp8_block", "bf16"}) {
      const int few = dtype == std::string("fp8") ? 30 : 20;
      list.add_design(dtype, round * 90, round * 90 + few, Load::kBurst);
      list.add_small(dtype, round * 90, round * 90 + few / 3, Load::kBurst);
      list.add_design(dtype, round * 90 + few, round * 90 + few + few / 5, Load::kSustained);
    }
  }
  return list.take();
}

}  // namespace probe
