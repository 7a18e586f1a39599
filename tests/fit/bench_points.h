// Made-up measurements whose truth is known.
#pragma once

#include <cmath>

#include "calibration/fit/curve_fits.h"
#include "calibration/fit/raw_file.h"
#include "sim/base/random.h"

namespace trillion {

inline constexpr std::uint64_t kSeed = 20250417;

inline GemmCurve true_gemm() {
  GemmCurve c;
  c.sm_rate = FlopsPerSecond{5.2e12};
  c.tiles = {{128, 256, 1.0}, {256, 128, 1.0}, {128, 128, 0.9}, {64, 128, 0.7}, {128, 64, 0.7}};
  c.tile_overhead = Seconds{2.2e-6};
  c.wave_smoothing = 0.4;
  c.launch = Seconds{2.5e-6};
  c.memory_rate = BytesPerSecond{2.6e12};
  c.max_split = 1;
  return c;
}

inline RawFile bench_file(const std::string& gpu = "H100") {
  RawFile file;
  file.name = "bench.jsonl";
  file.gpu = gpu;
  file.software = "bench";
  file.provenance = {Origin::measured, "a bench"};
  file.sms = 132;
  return file;
}

inline void add(RawFile& file, const Shape& shape, double seconds) {
  file.rows.push_back({{shape, 0, Load::burst}, Seconds{seconds}, file.provenance, {}});
}

// `count` GEMMs over the design's space, timed by the true curve with `noise` (ln, standard deviation).
inline RawFile gemm_file(int count, double noise) {
  RawFile file = bench_file();
  const Random random(kSeed, 1), errors(kSeed, 2);
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<std::uint64_t>(3 * i);
    const auto draw = [&](std::uint64_t j, double low, double high) {
      return 64 * static_cast<std::int64_t>(std::llround(low * std::pow(high / low, random.uniform(at + j)) / 64));
    };
    const Gemm gemm{DType::bf16, draw(0, 128, 32768), draw(1, 256, 32768), draw(2, 256, 32768)};
    add(file, gemm, evaluate(true_gemm(), gemm, 132).value() * std::exp(noise * errors.normal(static_cast<std::uint64_t>(i))));
  }
  return file;
}

// One file's rows as points on the whole chip.
inline Points points_of(const RawFile& file) {
  Points points;
  for (const auto& row : file.rows) {
    Point point;
    point.query = row.query;
    point.seconds = row.time.value();
    point.sms = row.query.sms > 0 ? static_cast<double>(row.query.sms) : 132.0;
    point.provenance = row.provenance;
    point.hash = hash_of(shape_text(row.query));
    point.channels = row.channels;
    points.push_back(point);
  }
  return points;
}

}  // namespace trillion
