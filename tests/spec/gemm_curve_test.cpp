// Products: the equations of gemm_curve.h, checked by hand on small numbers. Monotonicity under random shapes is tests/timing's.
#include "sim/spec/gemm_curve.h"

#include <gtest/gtest.h>

#include <cmath>

namespace trillion::gemm_curve_test {
namespace {

GemmCurve plain_gemm() {
  GemmCurve c;
  c.sm_rate = FlopsPerSecond{1e12};
  c.tiles = {{128, 128, 1.0}};
  c.tile_overhead = Seconds{1e-6};
  c.launch = Seconds{2e-6};
  c.memory_rate = BytesPerSecond{1e18};  // out of the way
  return c;
}

TEST(GemmCurve, AGemmIsLaunchPlusWavesTimesTile) {
  // One tile of k 1000: 1 us + 2 128 128 1000 / 1e12 = 33.768 us.
  const GemmCurve c = plain_gemm();
  const double tile = 1e-6 + 2.0 * 128 * 128 * 1000 / 1e12;
  EXPECT_NEAR(evaluate(c, Gemm{DType::bf16, 128, 128, 1000}, 4).value(), 2e-6 + tile, 1e-12);
  EXPECT_NEAR(evaluate(c, Gemm{DType::bf16, 129, 128, 1000}, 4).value(), 2e-6 + tile, 1e-12);      // 2 tiles, 4 SMs
  EXPECT_NEAR(evaluate(c, Gemm{DType::bf16, 512, 257, 1000}, 4).value(), 2e-6 + 3 * tile, 1e-12);  // 12 tiles
  EXPECT_NEAR(evaluate(c, Gemm{DType::bf16, 512, 257, 1000}, 5).value(), 2e-6 + 3 * tile, 1e-12);  // 2.4 waves
  EXPECT_NEAR(evaluate(c, Gemm{DType::bf16, 512, 257, 1000}, 12).value(), 2e-6 + tile, 1e-12);
}

TEST(GemmCurve, SplittingKHelpsFewTilesWithALongLoop) {
  GemmCurve c = plain_gemm();
  const Gemm thin{DType::bf16, 128, 128, 1 << 20};
  const double whole = evaluate(c, thin, 64).value();
  c.max_split = 8;
  EXPECT_LT(evaluate(c, thin, 64).value(), whole / 7);
  const Gemm wide{DType::bf16, 8192, 8192, 256};
  GemmCurve single = plain_gemm();
  EXPECT_DOUBLE_EQ(evaluate(c, wide, 64).value(), evaluate(single, wide, 64).value());
}

TEST(GemmCurve, MemoryBoundsAGemmWithLittleArithmetic) {
  GemmCurve c = plain_gemm();
  c.memory_rate = BytesPerSecond{1e9};
  const Gemm gemm{DType::bf16, 4096, 4096, 16};
  const double bytes = 2.0 * (4096 * 16 * 2 + 4096.0 * 4096);
  EXPECT_NEAR(evaluate(c, gemm, 1000).value(), bytes / 1e9, 0.01 * bytes / 1e9);
  c.accumulate_fp32 = true;  // C is read and written in FP32: four times the bytes of one BF16 write
  EXPECT_NEAR(evaluate(c, gemm, 1000).value(), (bytes + 6.0 * 4096 * 4096) / 1e9, 0.01 * bytes / 1e9);
}

TEST(GemmCurve, WhatATileLoadsAndStoresLimitsIt) {
  GemmCurve c = plain_gemm();
  const Gemm one{DType::bf16, 128, 128, 1024};
  const double free = evaluate(c, one, 64).value();
  // 512 bytes for each step of k, a hundred times slower than the arithmetic.
  c.sm_load = BytesPerSecond{512 / (100 * 2.0 * 128 * 128 / 1e12)};
  const double loading = 1024 * 512 / c.sm_load.value();
  EXPECT_NEAR(evaluate(c, one, 64).value(), free - 2.0 * 128 * 128 * 1024 / 1e12 + loading, 1e-3 * loading);
  // The L2 gives to all tiles at once: 64 of them take as long as 64 one by one.
  c = plain_gemm();
  c.chip_load = BytesPerSecond{512 / (100 * 2.0 * 128 * 128 / 1e12)};
  EXPECT_NEAR(evaluate(c, Gemm{DType::bf16, 1024, 1024, 1024}, 64).value(), 64 * loading, 0.01 * 64 * loading);
  c = plain_gemm();
  c.sm_store = BytesPerSecond{1e9};
  EXPECT_NEAR(evaluate(c, one, 64).value() - free, 2.0 * 128 * 128 / 1e9, 1e-9);
}

TEST(GemmCurve, RowsThatAreNoWholeLinesLoadSlower) {
  GemmCurve c = plain_gemm();
  c.sm_load = BytesPerSecond{1e9};
  c.misaligned = 0.5;
  const auto time = [&](DType dtype, GemmLayout layout, std::int64_t m, std::int64_t n, std::int64_t k) {
    c.dtype = dtype, c.layout = layout;
    return evaluate(c, Gemm{dtype, m, n, k, layout}, 64).value() /
           evaluate(c, Gemm{dtype, 128, 128, 64 * ((k + 63) / 64), layout}, 64).value();
  };
  EXPECT_GT(time(DType::bf16, GemmLayout::forward, 128, 128, 1000), 1.9);        // rows of both operands are 2000 bytes
  EXPECT_NEAR(time(DType::bf16, GemmLayout::forward, 120, 120, 1024), 1, 1e-9);  // m and n are no row's length
  EXPECT_NEAR(time(DType::bf16, GemmLayout::input_gradient, 120, 120, 1024), 1.5, 0.01);
  EXPECT_GT(time(DType::bf16, GemmLayout::weight_gradient, 120, 120, 1000), 1.9);
  EXPECT_NEAR(time(DType::bf16, GemmLayout::weight_gradient, 128, 128, 960), 1, 1e-9);
  EXPECT_NEAR(time(DType::fp8, GemmLayout::weight_gradient, 120, 120, 1024), 1, 1e-9);  // in FP8 every row is k long
}

TEST(GemmCurve, RowsThatBeginWithinASectorLoadSlowerStill) {
  GemmCurve c = plain_gemm();
  c.sm_load = BytesPerSecond{1e9};
  c.misaligned = 0.1, c.off_sector = 0.25;
  c.dtype = DType::fp8;
  const auto per_k = [&](std::int64_t k) {
    return (evaluate(c, Gemm{DType::fp8, 128, 128, k}, 64).value() - 3e-6) / static_cast<double>(k);
  };
  EXPECT_NEAR(per_k(1024 + 32) / per_k(1024), 1.2, 1e-3);  // rows of whole sectors, both operands
  EXPECT_NEAR(per_k(1024 + 16) / per_k(1024), 1.7, 1e-3);
  EXPECT_NEAR(per_k(1024 + 128) / per_k(1024), 1, 1e-3);
}

TEST(GemmCurve, GroupsShareOneLaunchAndTheirTilesFillTheChipTogether) {
  const GemmCurve c = plain_gemm();
  const double tile = 1e-6 + 2.0 * 128 * 128 * 1000 / 1e12;
  const GroupedGemm gemm{DType::bf16, {128, 1, 0, 256}, 128, 1000};  // 1 + 1 + 0 + 2 tiles
  EXPECT_NEAR(evaluate(c, gemm, 4).value(), 2e-6 + tile, 1e-12);
  EXPECT_NEAR(evaluate(c, gemm, 2).value(), 2e-6 + 2 * tile, 1e-12);
}

TEST(GemmCurve, AGroupedWeightGradientAddsTheGroupsLoops) {
  GemmCurve c = plain_gemm();
  c.layout = GemmLayout::weight_gradient;
  c.wave_smoothing = 1;
  GroupedGemm gemm{DType::bf16, {1000, 3000}, 1024, 1024};  // 64 tiles per group
  gemm.layout = GemmLayout::weight_gradient;
  const double unit = 2.0 * 128 * 128 / 1e12;
  EXPECT_NEAR(evaluate(c, gemm, 64).value(), 2e-6 + 2 * 1e-6 + 4000 * unit, 1e-12);
}

TEST(GemmCurve, TheCorrectionInterpolatesInLogarithms) {
  GemmCorrection t{{std::log(1.0), std::log(4.0)}, {std::log(100.0), std::log(10000.0)}, {0.0, 0.2, 0.4, 0.6}};
  EXPECT_DOUBLE_EQ(t.factor(1, 100), 1);
  EXPECT_DOUBLE_EQ(t.factor(0.1, 1), 1);
  EXPECT_NEAR(t.factor(2, 1000), std::exp(0.3), 1e-12);
  EXPECT_NEAR(t.factor(1e9, 1e9), std::exp(0.6), 1e-12);
  EXPECT_EQ(GemmCorrection{}.factor(3, 5), 1);
}

// The search rules tiles out by bounds; nothing that it ruled out is faster.
TEST(GemmCurve, PropertyTheChoiceIsTheFastest) {
  GemmCurve c = plain_gemm();
  c.tiles = {{64, 64, 0.8}, {128, 128, 1.0}, {128, 256, 1.1}, {256, 128, 1.1}};
  c.max_split = 8;
  c.split_cost = Seconds{1e-6};
  c.sm_load = BytesPerSecond{2e11}, c.chip_load = BytesPerSecond{1e13}, c.sm_store = BytesPerSecond{5e10};
  c.misaligned = 0.1;
  for (const std::int64_t m : {64, 200, 1000, 5000}) {
    for (const std::int64_t n : {72, 512, 4096}) {
      for (const std::int64_t k : {100, 4096, 30000}) {
        const Gemm gemm{DType::bf16, m, n, k};
        const double best = evaluate(c, gemm, 132).value();
        EXPECT_EQ(best, evaluate(c, gemm, 132, choose(c, gemm, 132)).value());
        for (std::size_t tile = 0; tile < c.tiles.size(); ++tile) {
          EXPECT_LE(best, evaluate(c, gemm, 132, {tile, 1}).value()) << m << " x " << n << " x " << k;
        }
      }
    }
  }
}

}  // namespace
}  // namespace trillion::gemm_curve_test
