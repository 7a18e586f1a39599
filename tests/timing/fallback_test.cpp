// Stand-ins: the nearest relative by the stated distances, slower or wider by the stated rules, and nothing from nothing.
#include "sim/timing/fallback.h"

#include <gtest/gtest.h>

#include "tests/timing/bench_calibration.h"

namespace trillion::fallback_test {
namespace {

TEST(Fallback, TheNearestRelativeWins) {
  Calibration c = bench_calibration();
  GemmCurve eight = c.gemms[0];
  eight.dtype = DType::fp8;
  eight.info.name = curve_name(eight);
  c.gemms.push_back(eight);
  GemmCurve wanted;
  wanted.dtype = DType::fp8_block;  // fp8 (8) is nearer than bf16 (16)
  EXPECT_NE(stand_in(c, wanted)->info.name.find("as gemm fp8 "), std::string::npos);
  wanted.dtype = DType::bf16;
  wanted.layout = GemmLayout::weight_gradient;  // another layout (2) is nearer than another precision
  EXPECT_NE(stand_in(c, wanted)->info.name.find("as gemm bf16 "), std::string::npos);
}

TEST(Fallback, SustainedIsTheBurstCurveTimesTheStacksFactor) {
  const Calibration c = bench_calibration();
  GemmCurve wanted = c.gemms[0];
  wanted.load = Load::sustained;
  const GemmCurve curve = *stand_in(c, wanted);
  EXPECT_NEAR(c.gemms[0].sm_rate / curve.sm_rate, 1.15, 1e-12);
  EXPECT_EQ(curve.info.provenance.origin, Origin::assumed);
  EXPECT_NEAR(curve.info.residuals.p90, 0.08 + 0.05, 1e-12);
}

TEST(Fallback, OnlyCopyStandsInForAnotherMemoryKernel) {
  Calibration c = bench_calibration();
  MemoryCurve wanted;
  wanted.kernel = MemoryKernel::rope;
  EXPECT_EQ(stand_in(c, wanted)->rate, c.memory_kernels[0].rate);
  c.memory_kernels[0].kernel = MemoryKernel::adam;
  EXPECT_FALSE(stand_in(c, wanted).has_value());
}

TEST(Fallback, PyTorchCastsAlikeInBothDirections) {
  Calibration c = bench_calibration();
  MemoryCurve cast = c.memory_kernels[0];
  cast.kernel = MemoryKernel::torch_cast_fp32;
  cast.rate = BytesPerSecond{1.9e12};
  c.memory_kernels.push_back(cast);
  MemoryCurve wanted;
  wanted.kernel = MemoryKernel::torch_cast_bf16;
  EXPECT_EQ(stand_in(c, wanted)->rate, cast.rate);
  wanted.kernel = MemoryKernel::torch_cat;
  EXPECT_EQ(stand_in(c, wanted)->rate, c.memory_kernels[0].rate);
}

TEST(Fallback, ExpertsWithoutALibraryGoOverTheCollectivesLinks) {
  Calibration c = bench_calibration();
  c.experts.clear();
  const ExpertCurve curve = *stand_in(c, ExpertCurve{});
  EXPECT_EQ(curve.nic, c.collectives[0].nic);
  EXPECT_EQ(curve.sms, c.stack.collective_sms.value);
  c.collectives.clear();
  EXPECT_FALSE(stand_in(c, ExpertCurve{}).has_value());
  EXPECT_FALSE(stand_in(c, CollectiveCurve{}).has_value());
}

}  // namespace
}  // namespace trillion::fallback_test
