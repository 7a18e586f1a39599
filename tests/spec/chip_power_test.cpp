// What a chip draws and the clock that it holds. What must hold: a kernel alone at its clock draws the limit; a step's clock lies
// between those of its kernels, rises with every kernel that draws less, and the mean draw at it is the limit; no kernel beats its
// burst; a kernel that waits for memory alone keeps its time at any clock.
#include "sim/spec/chip_power.h"

#include <gtest/gtest.h>

namespace trillion::chip_power_test {
namespace {

ChipPower chip() {
  ChipPower p;
  p.limit = Watts{700};
  p.idle = Watts{100};
  p.clock_max_mhz = 2000;
  p.products = Watts{500};
  p.memory_kernels = Watts{400};
  p.bf16 = Joules{0.4};
  p.fp8 = Joules{0.2};
  p.attention = Joules{0.3};
  p.memory = Joules{5};
  return p;
}

// 8192^3 in BF16 in so many seconds.
PowerLoad product(double burst, double sustained, double count = 1) {
  PowerLoad load{Seconds{burst}, Seconds{sustained}, {}, {}, count};
  load.draw = *draw_of(Gemm{DType::bf16, 8192, 8192, 8192}, Seconds{sustained});
  return load;
}

PowerLoad memory_bound(double time, double memory, double count = 1) {
  PowerLoad load{Seconds{time}, Seconds{time}, Seconds{memory}, {}, count};
  load.draw.memory_kernel = true;
  return load;
}

TEST(ChipPower, AKernelAloneDrawsTheLimitAtItsClock) {
  const Draw d = *draw_of(Gemm{DType::bf16, 8192, 8192, 8192}, Seconds{1.6e-3});
  EXPECT_NEAR(d.bf16, 2 * 8.192 * 8.192 * 8.192 / 1.6, 1e-9);
  EXPECT_NEAR(d.memory, 3 * 2 * 8192.0 * 8192 / 1.6e-3 / 1e12, 1e-12);
  const double f = clock_alone(chip(), d);
  EXPECT_GT(f, 1000);
  EXPECT_LT(f, 2000);
  EXPECT_NEAR(draw(chip(), d, f).value(), 700, 1e-9);
}

TEST(ChipPower, DrawGrowsWithThePowerOfTheClock) {
  ChipPower p = chip();
  p.exponent = 2.6;
  const Draw d = *draw_of(Gemm{DType::bf16, 8192, 8192, 8192}, Seconds{1.6e-3});
  Draw faster = d;
  faster.bf16 *= 1.1, faster.memory *= 1.1;
  EXPECT_NEAR((draw(p, faster, 1650) - p.idle) / (draw(p, d, 1500) - p.idle), std::pow(1.1, 2.6), 1e-12);
  const double f = clock_alone(p, d);
  EXPECT_NEAR(draw(p, d, f).value(), 700, 1e-6);
  p.products = Watts{100};
  EXPECT_DOUBLE_EQ(clock_alone(p, {}), 2000);  // nothing to do: never held
}

TEST(ChipPower, MemoryBoundKernelsRunAtTheirOwnClock) {
  ChipPower p = chip();
  p.memory_clock = 1.25;
  const PowerLoad half = memory_bound(1e-3, 0.8e-3);
  ChipPower same = p;
  same.memory_clock = 1;
  EXPECT_NEAR(time_at(p, half, 1200).value(), time_at(same, half, 1500).value(), 1e-15);
  EXPECT_DOUBLE_EQ(time_at(p, half, 1700).value(), 1e-3);  // at most the highest clock
  EXPECT_NEAR(draw(p, half.draw, 1200).value(), draw(same, half.draw, 1500).value(), 1e-9);
}

TEST(ChipPower, APrecisionCostsItsOwnEnergy) {
  const Draw wide = *draw_of(Gemm{DType::bf16, 4096, 4096, 4096}, Seconds{2e-4});
  const Draw narrow = *draw_of(Gemm{DType::fp8, 4096, 4096, 4096}, Seconds{2e-4});
  EXPECT_GT(clock_alone(chip(), narrow), clock_alone(chip(), wide));
  EXPECT_EQ(draw_of(Collective{}, Seconds{1}), std::nullopt);
}

TEST(ChipPower, AStepsClockLiesBetweenItsKernels) {
  const ChipPower p = chip();
  const PowerLoad heavy = product(1e-3, 1.6e-3), light = memory_bound(1e-3, 1e-3);
  const double alone = clock_alone(p, heavy.draw);
  EXPECT_NEAR(step_clock(p, {heavy}), alone, 0.2);
  EXPECT_DOUBLE_EQ(step_clock(p, {light}), 2000);
  double previous = alone;
  for (const double count : {0.25, 0.5, 1.0}) {
    PowerLoad more = light;
    more.count = count;
    const double f = step_clock(p, {heavy, more});
    EXPECT_GT(f, previous);
    EXPECT_LE(f, 2000);
    previous = f;
  }
}

TEST(ChipPower, TimeScalesWithTheClockDownToTheBurst) {
  const ChipPower p = chip();
  const PowerLoad load = product(1.3e-3, 1.6e-3);
  const double f = clock_alone(p, load.draw);
  EXPECT_NEAR(time_at(p, load, f).value(), 1.6e-3, 1e-12);
  EXPECT_NEAR(time_at(p, load, 1.1 * f).value(), 1.6e-3 / 1.1, 1e-12);
  EXPECT_DOUBLE_EQ(time_at(p, load, 2 * f).value(), 1.3e-3);
}

// A chip of 500 W runs the curves of one of 700 W slower by the clocks that a kernel holds on each.
TEST(ChipPower, UnderAnotherLimitTheMeasuredTimeBelongsToItsOwnClock) {
  ChipPower less = chip();
  less.measured_under = less.limit;
  less.limit = Watts{500};
  const PowerLoad load = product(1e-3, 1.6e-3);
  const double held = clock_alone(chip(), load.draw);
  EXPECT_DOUBLE_EQ(time_at(less, load, held).value(), 1.6e-3);
  EXPECT_DOUBLE_EQ(time_at(less, load, held / 2).value(), 3.2e-3);
  EXPECT_LT(step_clock(less, {load}), held);
}

TEST(ChipPower, OnlyInstructionsFeelTheClockOfAMemoryBoundKernel) {
  const ChipPower p = chip();
  EXPECT_DOUBLE_EQ(time_at(p, memory_bound(1e-3, 1e-3), 1000).value(), 1e-3);
  EXPECT_NEAR(time_at(p, memory_bound(1e-3, 0), 1000).value(), 2e-3, 1e-12);
  const double half = time_at(p, memory_bound(1e-3, 0.8e-3), 1000).value();
  EXPECT_GT(half, 1e-3);
  EXPECT_LT(half, 2e-3);
  EXPECT_DOUBLE_EQ(time_at(p, memory_bound(1e-3, 0.8e-3), 2000).value(), 1e-3);
}

}  // namespace
}  // namespace trillion::chip_power_test
