// What the chip draws, from the clocks of sustained kernels. What must hold: rows made by a known chip give its clocks back; rows at
// the highest clock, on fewer SMs, in bursts or borrowed say nothing; too few rows give nothing; the shipped profiles know.
#include "calibration/fit/fit_power.h"

#include <gtest/gtest.h>

#include <sstream>

#include "tests/fit/bench_points.h"

namespace trillion::fit_power_test {
namespace {

ChipPower true_chip() {
  ChipPower p;
  p.limit = Watts{700};
  p.idle = Watts{110};
  p.clock_max_mhz = 1980;
  p.products = Watts{550};
  p.bf16 = Joules{0.31};
  p.fp8 = Joules{0.19};
  p.attention = Joules{0.3};
  p.memory = Joules{4};
  return p;
}

// GEMMs of different intensity as the chip would run them: time from the true curve's cycles, clock where it draws the limit.
RawFile watched_file(int count) {
  RawFile file = bench_file();
  file.power_limit_w = 700;
  file.clock_max_mhz = 1980;
  const Random random(kSeed, 3);
  for (int i = 0; i < count; ++i) {
    const std::int64_t k = 256 << (i % 6), m = 1024 + 128 * (i % 23), n = 2048 + 256 * (i % 7);
    const DType dtype = i % 3 == 0 ? DType::fp8 : DType::bf16;
    const Gemm gemm{dtype, m, n, k};
    GemmCurve curve = true_gemm();
    if (dtype == DType::fp8) curve.sm_rate *= 2;
    const double at_max = 0.8 * evaluate(curve, gemm, 132).value();
    double clock = 1980;
    for (int round = 0; round < 200; ++round) {
      clock = 0.5 * (clock + clock_alone(true_chip(), *draw_of(gemm, Seconds{at_max * 1980 / clock})));
    }
    RawRow row{{gemm, 0, Load::sustained}, Seconds{at_max * 1980 / clock}, file.provenance, {}};
    row.clock_mhz = clock;
    row.power_w = 700;
    file.rows.push_back(row);
  }
  RawRow copy{{MemoryBound{MemoryKernel::copy, Bytes{1e9}, Bytes{1e9}}, 0, Load::sustained}, Seconds{7e-4}, file.provenance, {}};
  copy.clock_mhz = 1980;
  copy.power_w = 510;
  file.rows.push_back(copy);
  RawRow resting{{Gemm{DType::bf16, 64, 64, 64}, 0, Load::burst}, Seconds{4e-6}, file.provenance, {}};
  resting.power_w = 110;
  file.rows.push_back(resting);
  return file;
}

TEST(FitPower, FindsTheClocksOfTheChipThatMadeTheRows) {
  const RawFile file = watched_file(80);
  const ChipPower p = fit_power({file});
  ASSERT_TRUE(p.known());
  EXPECT_DOUBLE_EQ(p.idle.value(), 110);
  EXPECT_DOUBLE_EQ(p.memory_kernels.value(), 400);
  EXPECT_LT(p.residuals.median, 0.01);
  EXPECT_GE(p.residuals.points, 20);
  const Gemm unseen{DType::bf16, 6000, 6000, 6000};
  const Draw d = *draw_of(unseen, evaluate(true_gemm(), unseen, 132));
  EXPECT_NEAR(clock_alone(p, d) / clock_alone(true_chip(), d), 1, 0.02);
}

// Kernels that share their time with idle gaps on a chip whose draw grows with clock^2.5.
RawFile shared_file() {
  RawFile file = watched_file(80);
  // The clock that is counted is the mean over kernel and gap.
  const auto row = [&](int kernel, double duty, double seconds, double clock, double watts, const char* gap = "idle") {
    std::ostringstream text;
    text << R"({"op":"power","victim":{"op":"gemm","m":)" << kernel << R"(},"gap":")" << gap << R"(","duty":)" << duty << R"(,"time_s":)"
         << seconds << R"(,"busy":)" << duty << R"(,"clock_mhz":)" << clock << R"(,"power_w":)" << watts << "}";
    file.others.push_back(parse_json_line(text.str(), {"power.jsonl", 1, 1}));
  };
  for (int kernel = 0; kernel < 4; ++kernel) {
    row(kernel, 0, 1e-3, 1980, 120);
    for (const double duty : {1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.25}) {
      const double clock = std::min(1600.0, 1350 + 30.0 * kernel + 700 * (1 - duty));
      row(kernel, duty, 1e-3 * 1350 / clock, clock, 120 + duty * (550 + 20 * kernel) * std::pow(clock / 1400, 2.5));
    }
    const double clock = 1400, copying = 1.2 * clock, watts = 120 + 0.7 * (550 + 20 * kernel) + 0.3 * 300 * copying / 1400;
    row(kernel, 0.7, 1e-3 * 1350 / clock, 0.7 * clock + 0.3 * copying, watts, "copy");
  }
  return file;
}

TEST(FitPower, GapsTellHowDrawGrowsWithTheClock) {
  const ChipPower p = fit_power({shared_file()});
  EXPECT_NEAR(p.exponent, 2.5, 0.1);
  EXPECT_NEAR(p.memory_clock, 1.2, 0.05);
  EXPECT_EQ(p.provenance.source.find("assumed"), std::string::npos);
  EXPECT_LT(p.residuals.median, 0.02);
  EXPECT_DOUBLE_EQ(fit_power({watched_file(80)}).exponent, 1);
}

TEST(FitPower, SaysNothingFromTooLittle) {
  EXPECT_FALSE(fit_power({watched_file(10)}).known());
  RawFile file = watched_file(80);
  file.borrowed = true;
  EXPECT_FALSE(fit_power({file}).known());
  file = watched_file(80);
  for (RawRow& row : file.rows) row.query.load = Load::burst;
  EXPECT_FALSE(fit_power({file}).known());
  file = watched_file(80);
  file.power_limit_w = 0;
  EXPECT_FALSE(fit_power({file}).known());
}

}  // namespace
}  // namespace trillion::fit_power_test
