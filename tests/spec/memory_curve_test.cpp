// Memory-bound kernels: the equation of memory_curve.h, checked by hand.
#include "sim/spec/memory_curve.h"

#include <gtest/gtest.h>

#include <cmath>

namespace trillion::memory_curve_test {
namespace {

TEST(MemoryCurve, AMemoryKernelIsALineOrItsKnots) {
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

TEST(MemoryCurve, SumsOverRowsTakeLongerByTheRootOfTheRows) {
  MemoryCurve c;
  c.launch = Seconds{2e-6};
  c.rate = BytesPerSecond{1e12};
  c.row_root = Seconds{1e-7};
  EXPECT_DOUBLE_EQ(evaluate(c, {MemoryKernel::column_sum, Bytes{8e6}, Bytes{}, 10000}, 132).value(), 20e-6);
  EXPECT_DOUBLE_EQ(evaluate(c, {MemoryKernel::column_sum, Bytes{8e6}, Bytes{}, 2500}, 132).value(), 15e-6);
}

}  // namespace
}  // namespace trillion::memory_curve_test
