// Levels: a donor's shape at the height of a few points.
#include "calibration/fit/level.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fit/bench_points.h"

namespace trillion::level_test {
namespace {

TEST(Level, AFactorScalesEveryTime) {
  GemmCurve slow = true_gemm();
  slow_down(slow, 1.5);
  for (const Gemm& gemm : {Gemm{DType::bf16, 8192, 8192, 8192}, Gemm{DType::bf16, 64, 64, 64}}) {
    EXPECT_NEAR(evaluate(slow, gemm, 132) / evaluate(true_gemm(), gemm, 132), 1.5, 1e-9);
  }
  MemoryCurve memory;
  memory.rate = BytesPerSecond{1e12};
  memory.bytes = {1e3, 1e6};
  memory.seconds = {2e-6, 4e-6};
  slow_down(memory, 2);
  EXPECT_DOUBLE_EQ(evaluate(memory, {MemoryKernel::copy, Bytes{1e6}, Bytes{}}, 132).value(), 8e-6);
  CollectiveCurve gather;
  gather.kind = CollectiveKind::all_gather;
  gather.base = Seconds{1e-5}, gather.nvlink_step = Seconds{1e-6};
  gather.nvlink = gather.local = BytesPerSecond{1e11};
  const auto seconds = [](const CollectiveCurve& c) {
    return evaluate(c, {CollectiveKind::all_gather, Bytes{1e8}, 4, 4, {}}, {c.nvlink, c.nic}).value();
  };
  CollectiveCurve twice = gather;
  slow_down(twice, 2);
  EXPECT_NEAR(seconds(twice) / seconds(gather), 2, 1e-9);
}

TEST(Level, FewPointsKeepTheDonorsDoubtAndSeveralShowTheirOwn) {
  const Residuals donor{0.05, 0.2, 40};
  EXPECT_EQ(level_residuals({0.1}, donor).points, 0);
  EXPECT_DOUBLE_EQ(level_residuals({0.1}, donor).p90, 0.2);
  EXPECT_DOUBLE_EQ(level_residuals({0.1}, {0.001, 0.002, 40}).p90, 0.10);
  const Residuals several = level_residuals({0.0, 0.0, 0.3}, donor);
  EXPECT_EQ(several.points, 3);
  EXPECT_NEAR(several.median, std::expm1(0.15), 1e-9);
}

}  // namespace
}  // namespace trillion::level_test
