// GEMM curves from points: tiles, splits, groups one by one.
#include "calibration/fit/curve_fits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "calibration/fit/chips.h"
#include "tests/fit/bench_points.h"

namespace trillion::fit_gemm_test {
namespace {

const Chip kChip = *vendor_chip("H100");

TEST(FitGemm, WithoutPointsThePriorsGiveThreeQuartersOfThePeak) {
  const GemmCurve curve = fit_gemm(GemmCurve{}, {}, kChip);
  const double seconds = evaluate(curve, Gemm{DType::bf16, 16384, 16384, 16384}, 132).value();
  const double rate = flops(Gemm{DType::bf16, 16384, 16384, 16384}).value() / seconds;
  EXPECT_GT(rate, 0.6 * 989e12);
  EXPECT_LT(rate, 0.8 * 989e12);
}

TEST(FitGemm, FewerSmsAreExplainedByTilesAlone) {
  Points points = points_of(gemm_file(60, 0.0));
  for (std::size_t i = 0; i < points.size(); i += 2) {
    points[i].sms = 112;
    points[i].seconds = evaluate(true_gemm(), std::get<Gemm>(points[i].query.shape), 112).value();
  }
  EXPECT_LT(fit_gemm(GemmCurve{}, points, kChip).info.residuals.median, 0.03);
}

TEST(FitGemm, TilesThatLoadAreRecognised) {
  GemmCurve truth = true_gemm();
  truth.tiles.clear();
  for (const auto& [m, n] :
       {std::pair{64, 64}, {64, 128}, {128, 64}, {128, 128}, {128, 192}, {192, 128}, {128, 256}, {256, 128}, {192, 192}}) {
    truth.tiles.push_back({m, n, 1.0});
  }
  truth.sm_load = BytesPerSecond{1.2e11}, truth.chip_load = BytesPerSecond{8e12}, truth.sm_store = BytesPerSecond{2e10};
  Points points = points_of(gemm_file(200, 0.0));
  for (auto& point : points) point.seconds = predict(truth, point);
  const GemmCurve curve = fit_gemm(GemmCurve{}, points, kChip);
  EXPECT_GT(curve.sm_load.value(), 0);
  EXPECT_LT(curve.info.residuals.median, 0.04);
}

// Blocks of scales have one tile where a weight enters: its waves are seen, and nothing else fits them as well.
TEST(FitGemm, TheOneTileOfBlockScalesIsRecognised) {
  GemmCurve truth = true_gemm();
  truth.tiles = {{128, 128, 1.0}};
  truth.sm_load = BytesPerSecond{1.2e11}, truth.chip_load = BytesPerSecond{8e12}, truth.sm_store = BytesPerSecond{2e10};
  truth.wave_smoothing = 0.1;
  GemmCurve key;
  key.dtype = truth.dtype = DType::fp8_block;
  Points points = points_of(gemm_file(150, 0.0));
  for (auto& point : points) point.seconds = predict(truth, point);
  const GemmCurve curve = fit_gemm(key, points, kChip);
  ASSERT_EQ(curve.tiles.size(), 1u);
  EXPECT_GT(curve.sm_load.value(), 0);
  EXPECT_LT(curve.info.residuals.median, 0.02);
}

TEST(FitGemm, GroupsThatRunOneByOneAreRecognised) {
  GemmCurve key;
  key.grouped = true;
  GemmCurve truth = true_gemm();
  truth.grouped = truth.one_by_one = true;
  RawFile file = bench_file();
  for (std::int64_t i = 0; i < 24; ++i) {
    const GroupedGemm gemm{DType::bf16, std::vector<std::int64_t>(static_cast<std::size_t>(4 + i % 3 * 12), 96 + 64 * (i % 8)),
                           2048 + 512 * (i % 5), 1024 + 1024 * (i % 4)};
    add(file, gemm, evaluate(truth, gemm, 132).value());
  }
  const GemmCurve curve = fit_gemm(key, points_of(file), kChip);
  EXPECT_TRUE(curve.one_by_one);
  EXPECT_LT(curve.info.residuals.median, 0.04);
}

}  // namespace
}  // namespace trillion::fit_gemm_test
