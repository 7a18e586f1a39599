// Memory-bound curves from points.
#include "calibration/fit/curve_fits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "calibration/fit/chips.h"
#include "tests/fit/bench_points.h"

namespace trillion::fit_memory_test {
namespace {

TEST(FitMemory, FindsWhatFewerSmsCost) {
  RawFile file = bench_file();
  for (double bytes = 4e6; bytes < 1e9; bytes *= 2) {
    for (const std::int64_t sms : {112, 132}) {
      const double seconds = 3e-6 + bytes / 2.5e12 * std::pow(132.0 / static_cast<double>(sms), 1.5);
      file.rows.push_back(
          {{MemoryBound{MemoryKernel::rope, Bytes{bytes / 2}, Bytes{bytes / 2}}, sms, Load::burst}, Seconds{seconds}, file.provenance, {}});
    }
  }
  const MemoryCurve curve = fit_memory(MemoryCurve{}, points_of(file), *vendor_chip("H100"));
  EXPECT_NEAR(curve.sm_exponent, 1.5, 0.2);
  EXPECT_LT(curve.info.residuals.median, 0.02);
}

TEST(FitMemory, FindsWhatRowsCost) {
  RawFile file = bench_file();
  for (const double rows : {1024.0, 8192.0, 32768.0}) {
    for (const double columns : {1024.0, 4096.0, 16384.0}) {
      const double bytes = 2 * rows * columns;
      add(file, MemoryBound{MemoryKernel::column_sum, Bytes{bytes}, Bytes{}, static_cast<std::int64_t>(rows)},
          6e-6 + 1.2e-7 * std::sqrt(rows) + bytes / 3e12);
    }
  }
  const MemoryCurve curve = fit_memory(MemoryCurve{}, points_of(file), *vendor_chip("H100"));
  EXPECT_NEAR(curve.row_root.value(), 1.2e-7, 0.1e-7);
  EXPECT_LT(curve.info.residuals.median, 0.01);
  EXPECT_TRUE(curve.bytes.empty());
}

TEST(FitMemory, KnotsNeverFall) {
  RawFile file = bench_file();
  const Random random(kSeed, 3);
  for (std::uint64_t i = 0; i < 40; ++i) {
    const double bytes = std::pow(10.0, 3 + 6 * random.uniform(2 * i));
    add(file, MemoryBound{MemoryKernel::copy, Bytes{bytes}, Bytes{}}, (2e-6 + bytes / 2e12) * std::exp(0.5 * random.normal(i)));
  }
  const MemoryCurve curve = fit_memory(MemoryCurve{}, points_of(file), *vendor_chip("H100"));
  double last = 0;
  for (double bytes = 100; bytes < 1e11; bytes *= 1.1) {
    const double seconds = evaluate(curve, {MemoryKernel::copy, Bytes{bytes}, Bytes{}}, 132).value();
    EXPECT_GE(seconds, last * (1 - 1e-12)) << bytes;
    last = seconds;
  }
}

// Two sizes of one kernel that no line through a launch time meets: the curve passes through both and goes on at the larger one's rate.
TEST(FitMemory, PassesThroughFewPointsThatNoLineMeets) {
  RawFile file = bench_file();
  add(file, MemoryBound{MemoryKernel::adam, Bytes{1e8}, Bytes{1e8}}, 8e-5);
  add(file, MemoryBound{MemoryKernel::adam, Bytes{2e9}, Bytes{2e9}}, 2e-3);
  MemoryCurve key;
  key.kernel = MemoryKernel::adam;
  const MemoryCurve curve = fit_memory(key, points_of(file), *vendor_chip("H100"));
  const auto time = [&](double bytes) { return evaluate(curve, MemoryBound{MemoryKernel::adam, Bytes{bytes}, {}}, 132).value(); };
  EXPECT_NEAR(time(2e8) / 8e-5, 1, 1e-3);
  EXPECT_NEAR(time(4e9) / 2e-3, 1, 1e-3);
  EXPECT_NEAR(time(4e10) / 2e-2, 1, 0.01);
}

}  // namespace
}  // namespace trillion::fit_memory_test
