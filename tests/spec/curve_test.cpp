// Curves: the equations of curve.h, checked by hand on small numbers. Monotonicity under random shapes is tests/timing's.
#include "sim/spec/curve.h"

#include <gtest/gtest.h>

#include <cmath>

namespace trillion {
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

TEST(Curve, WavesAreWholeOrBlurred) {
  EXPECT_EQ(effective_waves(0.01, 0.5), 1);
  EXPECT_EQ(effective_waves(1, 0), 1);
  EXPECT_EQ(effective_waves(1.25, 0), 2);
  EXPECT_EQ(effective_waves(1.25, 1), 1.25);
  EXPECT_EQ(effective_waves(2.5, 0.5), 2.75);
}

TEST(Curve, AGemmIsLaunchPlusWavesTimesTile) {
  // One tile of k 1000: 1 us + 2 128 128 1000 / 1e12 = 33.768 us.
  const GemmCurve c = plain_gemm();
  const double tile = 1e-6 + 2.0 * 128 * 128 * 1000 / 1e12;
  EXPECT_NEAR(evaluate(c, Gemm{DType::bf16, 128, 128, 1000}, 4).value(), 2e-6 + tile, 1e-12);
  EXPECT_NEAR(evaluate(c, Gemm{DType::bf16, 129, 128, 1000}, 4).value(), 2e-6 + tile, 1e-12);      // 2 tiles, 4 SMs
  EXPECT_NEAR(evaluate(c, Gemm{DType::bf16, 512, 257, 1000}, 4).value(), 2e-6 + 3 * tile, 1e-12);  // 12 tiles
  EXPECT_NEAR(evaluate(c, Gemm{DType::bf16, 512, 257, 1000}, 5).value(), 2e-6 + 3 * tile, 1e-12);  // 2.4 waves
  EXPECT_NEAR(evaluate(c, Gemm{DType::bf16, 512, 257, 1000}, 12).value(), 2e-6 + tile, 1e-12);
}

TEST(Curve, SplittingKHelpsFewTilesWithALongLoop) {
  GemmCurve c = plain_gemm();
  const Gemm thin{DType::bf16, 128, 128, 1 << 20};
  const double whole = evaluate(c, thin, 64).value();
  c.max_split = 8;
  EXPECT_LT(evaluate(c, thin, 64).value(), whole / 7);
  const Gemm wide{DType::bf16, 8192, 8192, 256};
  GemmCurve single = plain_gemm();
  EXPECT_DOUBLE_EQ(evaluate(c, wide, 64).value(), evaluate(single, wide, 64).value());
}

TEST(Curve, MemoryBoundsAGemmWithLittleArithmetic) {
  GemmCurve c = plain_gemm();
  c.memory_rate = BytesPerSecond{1e9};
  const Gemm gemm{DType::bf16, 4096, 4096, 16};
  const double bytes = 2.0 * (4096 * 16 * 2 + 4096.0 * 4096);
  EXPECT_NEAR(evaluate(c, gemm, 1000).value(), bytes / 1e9, 0.01 * bytes / 1e9);
  c.accumulate_fp32 = true;  // C is read and written in FP32: four times the bytes of one BF16 write
  EXPECT_NEAR(evaluate(c, gemm, 1000).value(), (bytes + 6.0 * 4096 * 4096) / 1e9, 0.01 * bytes / 1e9);
}

TEST(Curve, WhatATileLoadsAndStoresLimitsIt) {
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

TEST(Curve, RowsThatAreNoWholeLinesLoadSlower) {
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

TEST(Curve, GroupsShareOneLaunchAndTheirTilesFillTheChipTogether) {
  const GemmCurve c = plain_gemm();
  const double tile = 1e-6 + 2.0 * 128 * 128 * 1000 / 1e12;
  const GroupedGemm gemm{DType::bf16, {128, 1, 0, 256}, 128, 1000};  // 1 + 1 + 0 + 2 tiles
  EXPECT_NEAR(evaluate(c, gemm, 4).value(), 2e-6 + tile, 1e-12);
  EXPECT_NEAR(evaluate(c, gemm, 2).value(), 2e-6 + 2 * tile, 1e-12);
}

TEST(Curve, AGroupedWeightGradientAddsTheGroupsLoops) {
  GemmCurve c = plain_gemm();
  c.layout = GemmLayout::weight_gradient;
  c.wave_smoothing = 1;
  GroupedGemm gemm{DType::bf16, {1000, 3000}, 1024, 1024};  // 64 tiles per group
  gemm.layout = GemmLayout::weight_gradient;
  const double unit = 2.0 * 128 * 128 / 1e12;
  EXPECT_NEAR(evaluate(c, gemm, 64).value(), 2e-6 + 2 * 1e-6 + 4000 * unit, 1e-12);
}

TEST(Curve, TheCorrectionInterpolatesInLogarithms) {
  GemmCorrection t{{std::log(1.0), std::log(4.0)}, {std::log(100.0), std::log(10000.0)}, {0.0, 0.2, 0.4, 0.6}};
  EXPECT_DOUBLE_EQ(t.factor(1, 100), 1);
  EXPECT_DOUBLE_EQ(t.factor(0.1, 1), 1);
  EXPECT_NEAR(t.factor(2, 1000), std::exp(0.3), 1e-12);
  EXPECT_NEAR(t.factor(1e9, 1e9), std::exp(0.6), 1e-12);
  EXPECT_EQ(GemmCorrection{}.factor(3, 5), 1);
}

AttentionCurve plain_attention(Direction direction) {
  AttentionCurve c;
  c.direction = direction;
  c.sm_rate = FlopsPerSecond{1e12};
  c.memory_rate = BytesPerSecond{1e18};
  return c;
}

TEST(Curve, CausalAttentionSumsTheTriangleOfBlocks) {
  // 4 query tiles see 1, 2, 3, 4 key blocks: 10 blocks per head; one block is 2 128 128 (128 + 128) FLOP.
  const double block = 2.0 * 128 * 128 * 256 / 1e12;
  const Attention a{DType::bf16, 1, 3, 3, 512, 512, 128, 128, true};
  EXPECT_NEAR(evaluate(plain_attention(Direction::forward), a, 1).value(), 30 * block, 1e-12);
  EXPECT_NEAR(evaluate(plain_attention(Direction::forward), a, 1000).value(), 4 * block, 1e-12);  // no faster than the longest
  Attention whole = a;
  whole.causal = false;
  EXPECT_NEAR(evaluate(plain_attention(Direction::forward), whole, 12).value(), 4 * block, 1e-12);
  // A later slice: 256 queries of 512 keys see 3 and 4 blocks.
  Attention slice = a;
  slice.queries = 256;
  EXPECT_NEAR(evaluate(plain_attention(Direction::forward), slice, 1).value(), 3 * 7 * block, 1e-12);
  // Backward loops over queries per key tile, with five products: 3 qk + 2 v.
  slice.direction = a.direction;
  Attention back = slice;
  back.direction = Direction::backward;
  const double back_block = 2.0 * 128 * 128 * (3 * 128 + 2 * 128) / 1e12;
  EXPECT_NEAR(evaluate(plain_attention(Direction::backward), back, 1).value(), 3 * 7 * back_block, 1e-11);
}

TEST(Curve, AMemoryKernelIsALineOrItsKnots) {
  MemoryCurve c;
  c.launch = Seconds{2e-6};
  c.rate = BytesPerSecond{1e12};
  EXPECT_DOUBLE_EQ(evaluate(c, {MemoryKernel::copy, Bytes{4e6}, Bytes{4e6}}, 132).value(), 10e-6);
  c.chip_sms = 132;
  c.sm_exponent = 1;
  EXPECT_DOUBLE_EQ(evaluate(c, {MemoryKernel::copy, Bytes{4e6}, Bytes{4e6}}, 66).value(), 18e-6);  // the launch does not stretch
  EXPECT_DOUBLE_EQ(evaluate(c, {MemoryKernel::copy, Bytes{4e6}, Bytes{4e6}}, 132).value(), 10e-6);
  c.bytes = {1e4, 1e6};
  c.seconds = {3e-6, 6e-6};
  EXPECT_DOUBLE_EQ(evaluate(c, {MemoryKernel::copy, Bytes{10}, Bytes{0}}, 132).value(), 3e-6);
  EXPECT_NEAR(evaluate(c, {MemoryKernel::copy, Bytes{1e5}, Bytes{0}}, 132).value(), std::sqrt(18.0) * 1e-6, 1e-12);
  EXPECT_DOUBLE_EQ(evaluate(c, {MemoryKernel::copy, Bytes{3e6}, Bytes{0}}, 132).value(), 8e-6);
  EXPECT_EQ(evaluate(c, {MemoryKernel::copy, Bytes{0}, Bytes{0}}, 132).value(), 0);
}

CollectiveCurve plain_collective(CollectiveKind kind) {
  CollectiveCurve c;
  c.kind = kind;
  c.base = Seconds{5e-6};
  c.nvlink_step = Seconds{1e-6};
  c.nic_step = Seconds{4e-6};
  c.nvlink = BytesPerSecond{100e9};
  c.nic = BytesPerSecond{10e9};
  return c;
}

double collective(CollectiveKind kind, double bytes, std::int64_t ranks, std::int64_t per_node) {
  const CollectiveCurve c = plain_collective(kind);
  return evaluate(c, {kind, Bytes{bytes}, ranks, per_node, {}}, {c.nvlink, c.nic}).value();
}

TEST(Curve, CollectivesFollowTheirClosedForms) {
  using enum CollectiveKind;
  EXPECT_NEAR(collective(all_gather, 8e9, 8, 8), 5e-6 + 7e-6 + 7.0 / 8 * 8e9 / 100e9, 1e-12);
  EXPECT_NEAR(collective(reduce_scatter, 8e9, 8, 8), collective(all_gather, 8e9, 8, 8), 1e-15);
  EXPECT_NEAR(collective(all_reduce, 8e9, 8, 8), 5e-6 + 14e-6 + 14.0 / 8 * 8e9 / 100e9, 1e-12);
  // 16 ranks on 2 nodes: 8 NICs of 10 GB/s are slower than NVLink; 15 steps, one of them between nodes.
  EXPECT_NEAR(collective(all_gather, 16e9, 16, 8), 5e-6 + 14e-6 + 4e-6 + 15.0 / 16 * 16e9 / 80e9, 1e-12);
  // All-to-all: the NIC carries what leaves the node.
  EXPECT_NEAR(collective(all_to_all, 16e9, 16, 8), 5e-6 + 7e-6 + 8 * 4e-6 + 8.0 / 16 * 16e9 / 10e9, 1e-12);
  EXPECT_NEAR(collective(send_recv, 1e9, 2, 2), 5e-6 + 1e-6 + 1e9 / 100e9, 1e-12);
  EXPECT_NEAR(collective(send_recv, 1e9, 2, 1), 5e-6 + 4e-6 + 1e9 / 10e9, 1e-12);
  EXPECT_EQ(collective(all_reduce, 1e9, 1, 1), 0);
}

TEST(Curve, APipelineCostsTwiceTheRootOfItsTwoTimes) {
  CollectiveCurve c = plain_collective(CollectiveKind::send_recv);
  c.pipeline = Seconds{1e-6};
  const double wire = 1e9 / 100e9;
  EXPECT_NEAR(evaluate(c, {c.kind, Bytes{1e9}, 2, 2, {}}, {c.nvlink, c.nic}).value(), 6e-6 + wire + 2 * std::sqrt(wire * 1e-6), 1e-12);
}

TEST(Curve, ARanksOwnDataCostsTimeOnOneNode) {
  CollectiveCurve c = plain_collective(CollectiveKind::all_gather);
  const auto time = [&](std::int64_t per_node) { return evaluate(c, {c.kind, Bytes{8e9}, 8, per_node, {}}, {c.nvlink, c.nic}).value(); };
  const double without = time(8), apart = time(4);
  c.local = BytesPerSecond{1e12};
  EXPECT_NEAR(time(8), without + 1e9 / 1e12, 1e-12);
  EXPECT_EQ(time(4), apart);
}

TEST(Curve, CollectiveKnotsAreWhatWasMeasuredAndScaleAsTheClosedFormDoes) {
  const CollectiveCurve form = plain_collective(CollectiveKind::all_reduce);
  CollectiveCurve c = form;
  c.knots = {{2, {1e6, 4e6}, {2e-5, 8e-5}}, {4, {1e6, 4e6}, {3e-5, 9e-5}}};
  const auto time = [&](const CollectiveCurve& curve, double bytes, std::int64_t ranks, std::int64_t per_node, double nvlink) {
    return evaluate(curve, {c.kind, Bytes{bytes}, ranks, per_node, {}}, {BytesPerSecond{nvlink}, c.nic}).value();
  };
  EXPECT_NEAR(time(c, 1e6, 2, 2, 100e9), 2e-5, 1e-15);
  EXPECT_NEAR(time(c, 2e6, 2, 2, 100e9), 4e-5, 1e-15);  // log-log
  EXPECT_NEAR(time(c, 4e6, 4, 4, 100e9), 9e-5, 1e-15);
  // Beyond the knots, for other group sizes and for other links: in the proportion of the closed form.
  EXPECT_NEAR(time(c, 4e9, 2, 2, 100e9) / time(form, 4e9, 2, 2, 100e9), 8e-5 / time(form, 4e6, 2, 2, 100e9), 1e-9);
  EXPECT_NEAR(time(c, 4e6, 8, 8, 100e9) / time(form, 4e6, 8, 8, 100e9), 9e-5 / time(form, 4e6, 4, 4, 100e9), 1e-9);
  EXPECT_NEAR(time(c, 4e6, 2, 2, 50e9) / time(form, 4e6, 2, 2, 50e9), 8e-5 / time(form, 4e6, 2, 2, 100e9), 1e-9);
  // Between nodes nothing was measured.
  EXPECT_EQ(time(c, 4e6, 16, 8, 100e9), time(form, 4e6, 16, 8, 100e9));
}

TEST(Curve, ExpertsWaitForNicOrNvlinkWhicheverIsLater) {
  ExpertCurve c;
  c.latency = Seconds{10e-6};
  const GroupLinks links{BytesPerSecond{100e9}, BytesPerSecond{25e9}};
  EXPECT_NEAR(evaluate(c, {c.kind, Bytes{100e6}, 64, 8, Bytes{200e6}}, links).value(), 10e-6 + 4e-3, 1e-12);
  EXPECT_NEAR(evaluate(c, {c.kind, Bytes{0}, 8, 8, Bytes{200e6}}, links).value(), 10e-6 + 2e-3, 1e-12);
}

}  // namespace
}  // namespace trillion
