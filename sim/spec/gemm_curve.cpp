#include "sim/spec/gemm_curve.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "sim/base/error.h"
#include "sim/base/rounding.h"
#include "sim/spec/knots.h"
#include "sim/spec/waves.h"

namespace trillion {
namespace {

// max(a, b) with a rounded corner: both limits are never reached at once.
double soft_max(double a, double b) {
  const double top = std::max(a, b);
  if (top <= 0) return 0;
  const double u = a / top, v = b / top;
  return top * std::sqrt(std::sqrt(u * u * u * u + v * v * v * v));
}

// Bytes of A, B and C that must move at least once.
double gemm_bytes(const GemmCurve& curve, double m, double n, double k) {
  const double operand = element_bytes(curve.dtype).value();
  const double result = curve.accumulate_fp32 ? 8.0 : 2.0;  // FP32 read and written, or BF16 written
  return operand * (m * k + k * n) + result * m * n;
}

double over(double amount, BytesPerSecond rate) { return rate.value() > 0 ? amount / rate.value() : 0.0; }

// Bytes of operands that a tile takes in for one step of k.
double loads_of(const GemmCurve& curve, const GemmTile& tile) {
  return static_cast<double>(tile.m + tile.n) * element_bytes(curve.dtype).value();
}

// Of a tile whose operands are there when it wants them.
TilePace arithmetic_pace(const GemmCurve& curve, const GemmTile& tile) {
  const double elements = static_cast<double>(tile.m * tile.n), result = curve.accumulate_fp32 ? 8.0 : 2.0;
  return {curve.tile_overhead.value() + over(elements * result, curve.sm_store),
          2.0 * elements / (curve.sm_rate.value() * tile.efficiency)};
}

// No slower than pace_of: the larger of what it takes the root of.
TilePace fastest_pace(const GemmCurve& curve, const GemmTile& tile, double loads_factor) {
  const TilePace arithmetic = arithmetic_pace(curve, tile);
  return {arithmetic.once, std::max(arithmetic.per_k, over(loads_factor * loads_of(curve, tile), curve.sm_load))};
}

double tile_seconds(const GemmCurve& curve, const GemmTile& tile, double k) {
  const TilePace pace = pace_of(curve, tile);
  return pace.once + pace.per_k * k;
}

// Rows of A are k long, but m in a BF16 weight gradient; rows of B are n long, but k in a BF16 forward pass and in FP8.
double loads_factor(const GemmCurve& curve, const Gemm& gemm) {
  if (curve.misaligned <= 0 && curve.off_sector <= 0) return 1;
  constexpr std::int64_t kLine = 128, kSector = 32;
  const bool wide = curve.dtype == DType::bf16 || curve.dtype == DType::fp32;
  const auto element = static_cast<std::int64_t>(element_bytes(curve.dtype).value());
  const std::int64_t a = wide && curve.layout == GemmLayout::weight_gradient ? gemm.m : gemm.k;
  const std::int64_t b = wide && curve.layout != GemmLayout::forward ? gemm.n : gemm.k;
  const auto off = [&](std::int64_t unit) { return (a * element % unit != 0 ? 1 : 0) + (b * element % unit != 0 ? 1 : 0); };
  return 1 + curve.misaligned * off(kLine) + curve.off_sector * off(kSector);
}

constexpr double kSplitWaves = 4;  // nothing is gained by splitting beyond

// Products of one kernel: rows[i] x n x k each.
struct Products {
  std::span<const std::int64_t> rows;
  std::int64_t n = 0, k = 0;
  double sms = 1, loads_factor = 1;

  double tiles(const GemmTile& tile) const {
    double count = 0, of_one = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (i == 0 || rows[i] != rows[i - 1]) of_one = pieces(rows[i], tile.m);
      count += of_one;
    }
    return count * pieces(n, tile.n);
  }
  double elements() const {
    double count = 0;
    for (const auto m : rows) count += static_cast<double>(m);
    return count * static_cast<double>(n);
  }
};

// What the chip's L2 cache takes to give all tiles their operands.
double loading_seconds(const GemmCurve& curve, const Products& p, const GemmTile& tile, double tiles) {
  return over(p.loads_factor * tiles * loads_of(curve, tile) * static_cast<double>(p.k), curve.chip_load);
}

double adding_seconds(const GemmCurve& curve, const Products& p, double split) {
  return split > 1 ? curve.split_cost.value() + 8.0 * split * p.elements() / curve.memory_rate.value() : 0.0;
}

double items_seconds(const GemmCurve& curve, const Products& p, double tiles, double split, const TilePace& pace) {
  const double part = static_cast<double>(p.k) / split, share = tiles * split / p.sms, waves = effective_waves(share, curve.wave_smoothing);
  return waves * curve.correction.factor(std::min(share, waves), part) * (pace.once + pace.per_k * part);
}

double compute_seconds(const GemmCurve& curve, const Products& p, const GemmChoice& choice) {
  const GemmTile& tile = curve.tiles.at(choice.tile);
  const double split = static_cast<double>(choice.split), tiles = p.tiles(tile);
  if (tiles <= 0) return 0;
  return soft_max(items_seconds(curve, p, tiles, split, pace_of(curve, tile, p.loads_factor)), loading_seconds(curve, p, tile, tiles)) +
         adding_seconds(curve, p, split);
}

// A choice and what it takes at least: its limits, without the roots of soft_max.
struct Candidate {
  GemmChoice choice;
  double at_least = 0;
};

std::vector<Candidate> candidates_of(const GemmCurve& curve, const Products& p) {
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < curve.tiles.size(); ++i) {
    const GemmTile& tile = curve.tiles[i];
    const double tiles = p.tiles(tile), loading = loading_seconds(curve, p, tile, tiles);
    const TilePace pace = fastest_pace(curve, tile, p.loads_factor);
    for (std::int64_t split = 1; split <= curve.max_split; split *= 2) {
      const double z = static_cast<double>(split);
      if (split > 1 && tiles * z > kSplitWaves * p.sms) break;
      candidates.push_back({{i, split}, std::max(loading, items_seconds(curve, p, tiles, z, pace)) + adding_seconds(curve, p, z)});
    }
  }
  return candidates;
}

// The fastest tile and split: the one that takes least at least is nearly it, and rules out most others.
GemmChoice fastest(const GemmCurve& curve, const Products& p) {
  const std::vector<Candidate> candidates = candidates_of(curve, p);
  const auto promising =
      std::min_element(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) { return a.at_least < b.at_least; });
  const double enough = compute_seconds(curve, p, promising->choice);
  double best = std::numeric_limits<double>::infinity();
  GemmChoice choice;
  for (const Candidate& candidate : candidates) {
    if (candidate.at_least > enough) continue;
    const double seconds = compute_seconds(curve, p, candidate.choice);
    if (seconds < best) best = seconds, choice = candidate.choice;
  }
  return choice;
}

// Groups of a weight gradient: C is k x n for each, group g reduces over its own m_g tokens.
double grouped_weight_gradient_seconds(const GemmCurve& curve, const GroupedGemm& gemm, double sms) {
  double best = std::numeric_limits<double>::infinity();
  for (const auto& tile : curve.tiles) {
    const double tiles = pieces(gemm.k, tile.m) * pieces(gemm.n, tile.n);
    double total = 0, longest = 0;
    for (const auto tokens : gemm.m) {
      if (tokens == 0) continue;
      const double one = tile_seconds(curve, tile, static_cast<double>(tokens)) * curve.correction.factor(1.0, static_cast<double>(tokens));
      total += tiles * one;
      longest = std::max(longest, one);
    }
    best = std::min(best, std::max(total / sms, longest) + (1.0 - curve.wave_smoothing) * 0.5 * longest);
  }
  return best;
}

// Scale of a kernel that is not asked to do anything.
bool nothing_to_do(const GroupedGemm& gemm) {
  return gemm.n == 0 || gemm.k == 0 || std::all_of(gemm.m.begin(), gemm.m.end(), [](auto m) { return m == 0; });
}

}  // namespace

TilePace pace_of(const GemmCurve& curve, const GemmTile& tile, double loads_factor) {
  const TilePace arithmetic = arithmetic_pace(curve, tile);
  return {arithmetic.once, soft_max(arithmetic.per_k, over(loads_factor * loads_of(curve, tile), curve.sm_load))};
}

double GemmCorrection::factor(double fill, double k) const {
  if (ln_factor.empty()) return 1.0;
  const Cell row = find_cell(ln_fill, std::log(fill)), column = find_cell(ln_k, std::log(std::max(k, 1.0)));
  const auto at = [&](std::size_t i, std::size_t j) {
    return ln_factor[std::min(i, ln_fill.size() - 1) * ln_k.size() + std::min(j, ln_k.size() - 1)];
  };
  const double low = at(row.index, column.index) * (1 - column.fraction) + at(row.index, column.index + 1) * column.fraction;
  const double high = at(row.index + 1, column.index) * (1 - column.fraction) + at(row.index + 1, column.index + 1) * column.fraction;
  return std::exp(low * (1 - row.fraction) + high * row.fraction);
}

GemmChoice choose(const GemmCurve& curve, const Gemm& gemm, double sms) {
  return fastest(curve, {{&gemm.m, 1}, gemm.n, gemm.k, sms, loads_factor(curve, gemm)});
}

Seconds evaluate(const GemmCurve& curve, const Gemm& gemm, double sms, const GemmChoice& choice) {
  if (gemm.m == 0 || gemm.n == 0 || gemm.k == 0) return Seconds{};
  const double compute = compute_seconds(curve, {{&gemm.m, 1}, gemm.n, gemm.k, sms, loads_factor(curve, gemm)}, choice);
  const double bytes = gemm_bytes(curve, static_cast<double>(gemm.m), static_cast<double>(gemm.n), static_cast<double>(gemm.k));
  return curve.info.scale * (curve.launch + Seconds{soft_max(compute, bytes / curve.memory_rate.value())});
}

Seconds evaluate(const GemmCurve& curve, const Gemm& gemm, double sms) {
  CHECK(sms > 0 && !curve.tiles.empty());
  return evaluate(curve, gemm, sms, choose(curve, gemm, sms));
}

Seconds evaluate(const GemmCurve& curve, const GroupedGemm& gemm, double sms) {
  CHECK(sms > 0 && !curve.tiles.empty());
  if (nothing_to_do(gemm)) return Seconds{};
  const bool weight_gradient = gemm.layout == GemmLayout::weight_gradient;
  if (curve.one_by_one) {
    Seconds sum, one;
    for (std::size_t i = 0; i < gemm.m.size(); ++i) {
      const std::int64_t tokens = gemm.m[i];
      if (i == 0 || tokens != gemm.m[i - 1]) {  // on even load all are alike
        one = evaluate(curve, weight_gradient ? Gemm{gemm.dtype, gemm.k, gemm.n, tokens} : Gemm{gemm.dtype, tokens, gemm.n, gemm.k}, sms);
      }
      sum += one;
    }
    return sum;
  }
  double bytes = 0;
  for (const auto tokens : gemm.m) {
    if (tokens == 0) continue;
    const double t = static_cast<double>(tokens), n = static_cast<double>(gemm.n), k = static_cast<double>(gemm.k);
    bytes += weight_gradient ? gemm_bytes(curve, k, n, t) : gemm_bytes(curve, t, n, k);
  }
  const Products products{gemm.m, gemm.n, gemm.k, sms};
  const double compute =
      weight_gradient ? grouped_weight_gradient_seconds(curve, gemm, sms) : compute_seconds(curve, products, fastest(curve, products));
  return curve.info.scale * (curve.launch + Seconds{soft_max(compute, bytes / curve.memory_rate.value())});
}

}  // namespace trillion
