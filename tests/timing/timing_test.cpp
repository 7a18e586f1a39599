// How long one thing takes. The algebra first:
//   time is positive, and never falls when a dimension, a group, a byte or a rank is added;
//   fewer SMs never help; the interval contains the time; every answer names a curve with an origin;
//   no curve is missing silently: a stand-in says `assumed` and is wider than its parent.
#include "sim/timing/timing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "sim/base/error.h"
#include "sim/base/random.h"
#include "tests/timing/bench_calibration.h"

namespace trillion::timing_test {
namespace {

class TimingTest : public testing::Test {
 protected:
  Calibration calibration_ = bench_calibration();
  Cluster cluster_ = bench_cluster();
  Timing timing_{calibration_, cluster_};

  double seconds(const Kernel& kernel, Conditions conditions = {}) const { return timing_.time(kernel, conditions).time.value(); }
};

std::int64_t log_uniform(const Random& random, std::uint64_t index, double low, double high) {
  return static_cast<std::int64_t>(std::llround(low * std::pow(high / low, random.uniform(index))));
}

TEST_F(TimingTest, TheBenchIsAValidCalibration) { EXPECT_THAT(calibration_.validate(), testing::IsEmpty()); }

TEST_F(TimingTest, PropertyGemmTimeNeverFallsWhenADimensionGrows) {
  const Random random(kSeed, 1);
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const std::uint64_t at = 8 * i;
    const Gemm small{DType::bf16, log_uniform(random, at, 1, 40000), log_uniform(random, at + 1, 1, 40000),
                     log_uniform(random, at + 2, 1, 40000)};
    Gemm large = small;
    std::int64_t* dimensions[] = {&large.m, &large.n, &large.k};
    *dimensions[i % 3] += log_uniform(random, at + 3, 1, 3000);
    const Conditions conditions{log_uniform(random, at + 4, 1, 132)};
    ASSERT_LE(seconds(small, conditions), seconds(large, conditions) * (1 + 1e-12))
        << "seed " << kSeed << " case " << i << ": " << small.m << " " << small.n << " " << small.k << " -> " << large.m << " " << large.n
        << " " << large.k;
  }
}

TEST_F(TimingTest, MemoryBoundKernelsMoveAtTheClustersRate) {
  const MemoryBound copy{MemoryKernel::copy, Bytes{1e9}, Bytes{1e9}};
  cluster_.gpu.memory_bandwidth = calibration_.chip.memory_bandwidth;
  const double full = seconds(copy);
  cluster_.gpu.memory_bandwidth = 0.5 * calibration_.chip.memory_bandwidth;
  EXPECT_NEAR(seconds(copy) / full, 2, 0.02);
}

TEST_F(TimingTest, FewerSmsNeverHelp) {
  const Random random(kSeed, 2);
  for (std::uint64_t i = 0; i < 5000; ++i) {
    const Gemm gemm{DType::bf16, log_uniform(random, 4 * i, 64, 40000), log_uniform(random, 4 * i + 1, 64, 40000),
                    log_uniform(random, 4 * i + 2, 64, 40000)};
    const std::int64_t few = log_uniform(random, 4 * i + 3, 1, 131);
    ASSERT_GE(seconds(gemm, {few}), seconds(gemm, {few + 1})) << "seed " << kSeed << " case " << i;
  }
  const MemoryBound copy{MemoryKernel::copy, Bytes{1e9}, Bytes{1e9}};
  EXPECT_GT(seconds(copy, {20}), seconds(copy, {40}));
  EXPECT_EQ(seconds(copy, {100}), seconds(copy, {132}));  // 100 SMs saturate the memory
}

TEST_F(TimingTest, AGroupedGemmOfOneGroupIsAGemm) {
  const Random random(kSeed, 3);
  for (std::uint64_t i = 0; i < 500; ++i) {
    const std::int64_t m = log_uniform(random, 3 * i, 1, 20000), n = log_uniform(random, 3 * i + 1, 1, 20000),
                       k = log_uniform(random, 3 * i + 2, 1, 20000);
    EXPECT_DOUBLE_EQ(seconds(GroupedGemm{DType::bf16, {m}, n, k}), seconds(Gemm{DType::bf16, m, n, k}));
  }
}

TEST_F(TimingTest, PropertyGroupedTimeNeverFallsWhenAGroupGrows) {
  const Random random(kSeed, 4);
  for (std::uint64_t i = 0; i < 3000; ++i) {
    GroupedGemm gemm{DType::bf16, {}, 4096, 7168};
    gemm.layout = i % 2 == 0 ? GemmLayout::forward : GemmLayout::weight_gradient;
    const std::uint64_t at = 16 * i;
    for (std::uint64_t g = 0; g < 8; ++g) gemm.m.push_back(log_uniform(random, at + g, 1, 4000) - 1);
    const double before = seconds(gemm);
    gemm.m[i % 8] += log_uniform(random, at + 9, 1, 1000);
    ASSERT_LE(before, seconds(gemm) * (1 + 1e-12)) << "seed " << kSeed << " case " << i;
  }
  EXPECT_EQ(seconds(GroupedGemm{DType::bf16, {0, 0}, 4096, 7168}), 0.0);
}

TEST_F(TimingTest, PropertyAttentionTimeNeverFallsWhenASequenceGrows) {
  const Random random(kSeed, 5);
  for (std::uint64_t i = 0; i < 10000; ++i) {
    const std::uint64_t at = 8 * i;
    Attention a{DType::bf16, 1, log_uniform(random, at, 1, 128), 1, 0, 0, 128, 128, i % 2 == 0};
    a.direction = i % 4 < 2 ? Direction::forward : Direction::backward;
    a.kv_heads = a.heads;
    a.queries = log_uniform(random, at + 1, 1, 40000);
    a.keys = a.queries + log_uniform(random, at + 2, 1, 40000) - 1;
    Attention b = a;
    if (i % 3 == 0) b.keys += log_uniform(random, at + 3, 1, 2000);
    if (i % 3 == 1) b.queries = std::min(b.keys, b.queries + log_uniform(random, at + 3, 1, 2000));
    if (i % 3 == 2) b.heads += 1;
    ASSERT_LE(seconds(a), seconds(b) * (1 + 1e-12)) << "seed " << kSeed << " case " << i << ": " << a.queries << " x " << a.keys;
  }
}

TEST_F(TimingTest, CausalAttentionCostsAboutHalfAndNeverMoreThanTheWhole) {
  for (const std::int64_t tokens : {1024, 4096, 65536}) {
    Attention a{DType::bf16, 1, 128, 128, tokens, tokens, 128, 128, true};
    Attention whole = a;
    whole.causal = false;
    EXPECT_LT(seconds(a), seconds(whole));
    EXPECT_NEAR(seconds(a) / seconds(whole), 0.5, tokens >= 4096 ? 0.1 : 0.4);
  }
}

TEST_F(TimingTest, HeadsAreComputedInWholeMultiples) {
  Attention a{DType::bf16, 2, 32, 32, 4096, 4096, 128, 128, true};
  const double whole = seconds(a);
  for (const std::int64_t channels : {72, 80, 96, 112, 127}) {
    a.qk_dim = a.v_dim = channels;
    EXPECT_EQ(seconds(a), whole) << channels;
    EXPECT_TRUE(timing_.time(a).extrapolated);
  }
  a.qk_dim = a.v_dim = 160;
  EXPECT_GT(seconds(a), whole);
  // FlashAttention has a kernel for 96.
  a.library = AttentionLibrary::flash;
  a.qk_dim = a.v_dim = 128;
  const double flash = seconds(a);
  a.qk_dim = a.v_dim = 96;
  EXPECT_LT(seconds(a), flash);
  a.qk_dim = a.v_dim = 88;
  EXPECT_LT(seconds(a), flash);
}

TEST_F(TimingTest, ARateIsReachedOnLargeShapes) {
  const Gemm large{DType::bf16, 16384, 16384, 16384};
  const double rate = flops(large).value() / seconds(large);
  EXPECT_GT(rate, 0.9 * 132 * 5.5e12);
  EXPECT_LE(rate, 132 * 5.5e12);
}

TEST_F(TimingTest, PropertyCollectiveTimeNeverFallsWithBytesOrNodes) {
  const Random random(kSeed, 6);
  for (std::uint64_t i = 0; i < 4000; ++i) {
    Collective c;
    c.kind = static_cast<CollectiveKind>(i % 8);
    c.bytes = Bytes{std::pow(10.0, 3 + 7 * random.uniform(4 * i))};
    c.scale_up_bytes = c.bytes * 2;
    c.ranks_per_node = 1 << (i % 4);
    c.ranks = c.ranks_per_node * (1 << (i % 5));
    Collective more = c;
    more.bytes *= 1 + random.uniform(4 * i + 1);
    ASSERT_LE(timing_.time(c).time, timing_.time(more).time) << "seed " << kSeed << " case " << i;
    Collective wider = c;
    wider.ranks *= 2;
    if (c.ranks > 1 && c.kind != CollectiveKind::send_recv) {
      ASSERT_LE(timing_.time(c).time.value(), timing_.time(wider).time.value() * (1 + 1e-12)) << "case " << i;
    }
  }
}

TEST_F(TimingTest, LinksScaleToTheClusterAtHand) {
  Cluster slow = cluster_;
  slow.scale_up.bandwidth = BytesPerSecond{225e9};
  slow.scale_out.nic_bandwidth = BytesPerSecond{25e9};
  const Timing halved(calibration_, slow);
  for (const std::int64_t ranks : {8, 64}) {
    Collective c{CollectiveKind::all_gather, Bytes{16e9}, ranks, 8, {}};
    EXPECT_NEAR(halved.time(c).time / timing_.time(c).time, 2.0, 0.03);
  }
  const Collective dispatch{CollectiveKind::expert_dispatch, Bytes{300e6}, 64, 8, Bytes{100e6}};
  EXPECT_NEAR(timing_.time(dispatch).time.value(), 50e-6 + 300e6 / 30e9, 1e-12);
  EXPECT_NEAR(halved.time(dispatch).time.value(), 50e-6 + 300e6 / 15e9, 1e-12);
}

TEST_F(TimingTest, TheIntervalHoldsTheTimeAndDoublesOutsideTheMeasuredRange) {
  const KernelTime inside = timing_.time(Gemm{DType::bf16, 4096, 4096, 4096});
  EXPECT_FALSE(inside.extrapolated);
  EXPECT_NEAR(inside.high / inside.time, 1.08, 1e-12);
  EXPECT_NEAR(inside.time / inside.low, 1.08, 1e-12);
  EXPECT_EQ(timing_.curve(inside.curve).name, "gemm bf16 forward burst");
  EXPECT_EQ(timing_.curve(inside.curve).provenance.origin, Origin::measured);
  const KernelTime outside = timing_.time(Gemm{DType::bf16, 65536, 4096, 4096});
  EXPECT_TRUE(outside.extrapolated);
  EXPECT_NEAR(outside.high / outside.time, 1.16, 1e-12);
}

TEST_F(TimingTest, EveryKeyHasACurveAndStandInsSaySo) {
  const double known = timing_.curve(0).residuals.p90;
  for (std::size_t dtype = 0; dtype < kDTypeNames.size(); ++dtype) {
    for (std::size_t layout = 0; layout < kGemmLayoutNames.size(); ++layout) {
      for (const bool accumulate : {false, true}) {
        for (const Load load : {Load::burst, Load::sustained}) {
          const Gemm gemm{static_cast<DType>(dtype), 4096, 4096, 4096, static_cast<GemmLayout>(layout), accumulate};
          const KernelTime t = timing_.time(gemm, {0, load});
          ASSERT_GT(t.time.value(), 0);
          if (t.curve == 0) continue;
          const CurveInfo& info = timing_.curve(t.curve);
          EXPECT_EQ(info.provenance.origin, Origin::assumed) << info.name;
          EXPECT_NE(info.provenance.source.find("gemm bf16 forward burst"), std::string::npos) << info.provenance.source;
          EXPECT_GT(info.residuals.p90, known) << info.name;
        }
      }
    }
  }
  for (std::size_t kernel = 0; kernel < kMemoryKernelNames.size(); ++kernel) {
    EXPECT_GT(seconds(MemoryBound{static_cast<MemoryKernel>(kernel), Bytes{1e6}, Bytes{1e6}}, {0, Load::sustained}), 0);
  }
}

TEST_F(TimingTest, StandInsScaleByTheStatedRules) {
  const Gemm gemm{DType::bf16, 16384, 16384, 16384};
  EXPECT_NEAR(seconds(gemm, {0, Load::sustained}) / seconds(gemm), 1.15, 0.01);
  Gemm eight = gemm;
  eight.dtype = DType::fp8;
  EXPECT_NEAR(seconds(gemm) / seconds(eight), 2.0, 0.1);
  Attention a{DType::bf16, 1, 128, 128, 16384, 16384, 192, 128, true};
  const KernelTime other_dims = timing_.time(a);
  EXPECT_TRUE(other_dims.extrapolated);
  EXPECT_GT(other_dims.high / other_dims.time, 1.1);
  a.direction = Direction::backward;
  EXPECT_NEAR(seconds(a) / other_dims.time.value(), (3 * 192 + 2 * 128) / (192.0 + 128) / 0.75, 0.1);
}

TEST_F(TimingTest, AProfileWithoutRelativesSaysWhatIsMissing) {
  Calibration empty = calibration_;
  empty.gemms.clear();
  const Timing timing(empty, cluster_);
  try {
    timing.time(Gemm{DType::bf16, 128, 128, 128});
    FAIL() << "no curve, but an answer";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("GEMM"), std::string::npos);
  }
}

TEST_F(TimingTest, SmsHeldAreTheLibrarysForExpertsAndTheStacksOtherwise) {
  EXPECT_EQ(timing_.sms_held(CollectiveKind::expert_dispatch), 20);
  EXPECT_EQ(timing_.sms_held(CollectiveKind::expert_combine), 20);
  EXPECT_EQ(timing_.sms_held(CollectiveKind::all_reduce), 16);
}

TEST_F(TimingTest, SmsHeldAreTheCurvesWhereTheyWereMeasured) {
  Calibration calibration = calibration_;
  calibration.collectives[0].sms = 24;
  const Timing timing(calibration, cluster_);
  EXPECT_EQ(timing.sms_held(calibration.collectives[0].kind), 24);
}

TEST_F(TimingTest, RedrawingMovesEachCurveByItsOwnResidual) {
  const Calibration again = redraw(calibration_, 7), other = redraw(calibration_, 8);
  EXPECT_EQ(again.gemms[0].info.scale, redraw(calibration_, 7).gemms[0].info.scale);
  EXPECT_NE(again.gemms[0].info.scale, other.gemms[0].info.scale);
  const Gemm gemm{DType::bf16, 4096, 4096, 4096};
  EXPECT_NEAR(Timing(again, cluster_).time(gemm).time / timing_.time(gemm).time, again.gemms[0].info.scale, 1e-12);
  // Nine of ten redraws fall within the 90 % interval.
  int inside = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const double scale = redraw(calibration_, seed).gemms[0].info.scale;
    if (scale > 1 / 1.08 && scale < 1.08) ++inside;
  }
  EXPECT_NEAR(inside / 2000.0, 0.9, 0.02);
}

TEST(HostTiming, CopiesRunAtTheStacksRateAndNoFasterThanTheLink) {
  Calibration calibration = bench_calibration();
  Cluster cluster;
  cluster.gpus_per_node = 8;
  calibration.stack.device_to_host.value = BytesPerSecond{50e9};
  calibration.stack.host_to_device.value = BytesPerSecond{40e9};
  const Timing timing(calibration, cluster);
  EXPECT_DOUBLE_EQ(timing.host_copy(Bytes{1e9}, HostDirection::to_host).time.value(), 1e9 / 50e9);
  EXPECT_DOUBLE_EQ(timing.host_copy(Bytes{1e9}, HostDirection::to_device).time.value(), 1e9 / 40e9);
  EXPECT_EQ(timing.curve(timing.host_copy(Bytes{1}, HostDirection::to_device).curve).name, "host copy to device");
  cluster.gpu.host_bandwidth = BytesPerSecond{32e9};
  EXPECT_DOUBLE_EQ(timing.host_copy(Bytes{1e9}, HostDirection::to_host).time.value(), 1e9 / 32e9);
  // A node's GPUs share its processors.
  const double eight = timing.host_update(1e9).time.value();
  cluster.gpus_per_node = 1;
  EXPECT_DOUBLE_EQ(timing.host_update(1e9).time.value() * 8, eight);
  EXPECT_EQ(timing.curve(timing.host_update(1).curve).provenance.origin, Origin::assumed);
  calibration.stack.device_to_host.value = BytesPerSecond{};
  EXPECT_THROW(timing.host_copy(Bytes{1}, HostDirection::to_host), InputError);
}

}  // namespace
}  // namespace trillion::timing_test
