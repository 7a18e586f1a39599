// How long a matrix product takes as a function of its shape (curve.h says what all curves share).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/spec/curve_info.h"
#include "sim/spec/kernel.h"

namespace trillion {

// ln(factor) over ln(fill) and ln(k), bilinear between knots and constant outside. What the physical terms leave over, as far
// as it is smooth: fewer busy SMs clock higher, long kernels meet the power limit. fill is x below one wave, waves(x) above.
// Empty: factor 1. Slopes are bounded by the fit so that time stays monotone.
struct GemmCorrection {
  std::vector<double> ln_fill, ln_k;  // ascending knots
  std::vector<double> ln_factor;      // [ln_fill.size()][ln_k.size()]

  double factor(double fill, double k) const;
};

// An output tile that the library may choose.
struct GemmTile {
  std::int64_t m = 128, n = 128;
  double efficiency = 1;  // of `sm_rate` in its K loop
};

// One GEMM, or one GEMM per group in one kernel. The library's choice is the fastest of its tiles and splits of k:
//
//   compute = min over tiles (tm x tn) and splits z = 1, 2, 4 ... max_split, z T <= 4 S or z = 1, of
//             (waves(z T / S) correction item) with (z T loads (k / z) / chip_load)
//             + [z > 1] (split_cost + 2 z m n 4 bytes / memory_rate)
//             T = ceil(m/tm) ceil(n/tn), summed over groups
//   item    = o + tm tn c / sm_store + (k / z) step            o = tile_overhead: prologue and epilogue;  c = bytes of C per element
//   step    = (2 tm tn / (efficiency sm_rate)) with (loads / sm_load)
//   loads   = (tm + tn) bytes of an operand's element          into the SM, for each step of k;  plain GEMMs: x (1 + misaligned for each
//                                                              of A and B whose rows in memory are no multiple of 128 bytes, a line,
//                                                              + off_sector where they are no multiple of 32, a sector)
//   memory  = (A + B + C bytes) / memory_rate                  C twice where it accumulates
//   time    = launch + compute with memory                     a with b = (a^4 + b^4)^(1/4): two limits, never both reached at once
//
// sm_load is what one SM can take in, chip_load what the L2 cache can give to all of them: why small tiles and tall thin ones are
// slow, alone and side by side. A rate of 0 is no limit. Time never falls when a dimension grows, among shapes whose rows are aligned
// alike: the library's kernels are up to a fifth slower on rows that are not, and so is the curve. A row that begins within a sector
// of the L2 cache takes one sector more for each line that a tile loads of it.
//
// `one_by_one`: the library runs the groups as kernels one after the other; the time is the sum of the plain ones.
// Groups of a weight gradient differ in the reduced dimension: then total work / S (at least the longest tile) plus
// (1 - s)/2 of the longest tile stand for the waves.
struct GemmCurve {
  CurveInfo info;
  bool grouped = false;
  DType dtype = DType::bf16;
  GemmLayout layout = GemmLayout::forward;
  bool accumulate_fp32 = false;
  Load load = Load::burst;

  FlopsPerSecond sm_rate;  // of one SM
  std::vector<GemmTile> tiles;
  BytesPerSecond sm_load, chip_load, sm_store;
  double misaligned = 0, off_sector = 0;
  Seconds tile_overhead;
  std::int64_t max_split = 1;
  Seconds split_cost;       // of adding the parts up
  bool one_by_one = false;  // grouped only
  double wave_smoothing = 0;
  Seconds launch;
  BytesPerSecond memory_rate;
  GemmCorrection correction;
  Range m, n, k;  // measured; for groups, of one group
};
// `item` above as seconds once and seconds for one step of k.
struct TilePace {
  double once = 0, per_k = 0;
};
TilePace pace_of(const GemmCurve& curve, const GemmTile& tile, double loads_factor = 1);

// The library's choice: a tile of the curve's, and in how many parts it takes k.
struct GemmChoice {
  std::size_t tile = 0;
  std::int64_t split = 1;
};
GemmChoice choose(const GemmCurve& curve, const Gemm& gemm, double sms);

Seconds evaluate(const GemmCurve& curve, const Gemm& gemm, double sms);
// With a choice made elsewhere: a fit moves the curve a little and asks what its times do. REQUIRES: sms > 0, choice.tile is the curve's.
Seconds evaluate(const GemmCurve& curve, const Gemm& gemm, double sms, const GemmChoice& choice);
Seconds evaluate(const GemmCurve& curve, const GroupedGemm& gemm, double sms);

}  // namespace trillion
