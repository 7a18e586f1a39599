// What must hold: one chip is itself; the more chips, the slower their slowest, up to the outliers; a chip that draws all of its limit
// holds a clock lower by the spread, one that its limit does not hold back the same clock as any other.
#include "sim/spec/chip_spread.h"

#include <gtest/gtest.h>

namespace trillion::chip_spread_test {
namespace {

ChipPower uneven_chip() {
  ChipPower p;
  p.limit = Watts{700};
  p.idle = Watts{100};
  p.clock_max_mhz = 2000;
  p.bf16 = Joules{1.2};
  p.exponent = 2.6;
  return p;
}

TEST(ChipSpread, TheLargestOfNormalValuesIsExpectedWhereTablesHaveIt) {
  EXPECT_EQ(expected_largest(1), 0);
  EXPECT_NEAR(expected_largest(2), 0.5642, 0.03);
  EXPECT_NEAR(expected_largest(4), 1.0294, 0.03);
  EXPECT_NEAR(expected_largest(8), 1.4236, 0.01);
  EXPECT_NEAR(expected_largest(100), 2.5076, 0.01);
  double previous = 0;
  for (std::int64_t n = 2; n < 200; n *= 2) {
    EXPECT_GT(expected_largest(n), previous);
    previous = expected_largest(n);
  }
  EXPECT_EQ(expected_largest(1 << 20), expected_largest(1 << 14)) << "outliers are replaced";
}

TEST(ChipSpread, TheSlowestHoldsALowerClockUnderItsLimit) {
  const Draw heavy = *draw_of(Gemm{DType::bf16, 8192, 8192, 8192}, Seconds{1.4e-3});
  const double mean = clock_alone(uneven_chip(), heavy);
  ASSERT_LT(mean, 2000);
  EXPECT_EQ(clock_alone(slowest_of(uneven_chip(), 0.02, 1), heavy), mean);
  EXPECT_EQ(clock_alone(slowest_of(uneven_chip(), 0, 64), heavy), mean);
  // Draw beyond idle is (products x f + energy) f^1.6 with no products here: the rates are those at f, so the exponent is 1.6.
  const double slowest = clock_alone(slowest_of(uneven_chip(), 0.02, 64), heavy);
  EXPECT_NEAR(slowest / mean, std::pow(1 - 0.02 * expected_largest(64), 2.6 / 1.6), 1e-6);
  const PowerLoad load{Seconds{1e-3}, Seconds{1.4e-3}, {}, heavy, 1};
  EXPECT_NEAR(step_clock(slowest_of(uneven_chip(), 0.02, 64), {load}) / step_clock(uneven_chip(), {load}), 1 - 0.02 * expected_largest(64),
              1e-3)
      << "in a step the rates fall with the clock";
}

TEST(ChipSpread, BelowItsLimitAChipIsAsFastAsAnyOther) {
  const Draw light = *draw_of(Gemm{DType::bf16, 8192, 8192, 8192}, Seconds{8e-3});
  EXPECT_EQ(clock_alone(slowest_of(uneven_chip(), 0.02, 64), light), 2000);
}

TEST(ChipSpread, WithoutAKnownDrawTheSlowestChipsClockIsBelowTheMeansByTheSpread) {
  EXPECT_EQ(slowest_clock(0.02, 1), 1);
  EXPECT_EQ(slowest_clock(0, 1024), 1);
  EXPECT_DOUBLE_EQ(slowest_clock(0.02, 64), 1 - 0.02 * expected_largest(64));
  EXPECT_EQ(slowest_clock(1, 64), 0);
}

}  // namespace
}  // namespace trillion::chip_spread_test
