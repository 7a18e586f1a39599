#include "sim/base/number_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "sim/base/random.h"

namespace trillion::number_text_test {
namespace {

TEST(NumberText, DurationsFindTheirUnit) {
  EXPECT_EQ(duration_text(Seconds{0}), "0 s");
  EXPECT_EQ(duration_text(Seconds{0.129}), "129 ms");
  EXPECT_EQ(duration_text(Seconds{19.9}), "19.9 s");
  EXPECT_EQ(duration_text(Seconds{5e-6}), "5.00 us");
  EXPECT_EQ(duration_text(Seconds{7200}), "2.0 h");
  EXPECT_EQ(duration_text(Seconds{900}), "15.0 min");
  EXPECT_EQ(duration_text(Seconds{3.7 * 86400}), "3.70 days");
}

TEST(NumberText, BytesAreBinaryRatesDecimal) {
  EXPECT_EQ(bytes_text(Bytes{0}), "0 B");
  EXPECT_EQ(bytes_text(80 * kGiB), "80.0 GiB");
  EXPECT_EQ(bytes_text(1536 * kMiB), "1.50 GiB");
  EXPECT_EQ(rate_text(BytesPerSecond{50e9}), "50.0 GB/s");
  EXPECT_EQ(flops_rate_text(FlopsPerSecond{1978.9e12}), "1979 TFLOP/s") << "chips are compared in TFLOP/s";
  EXPECT_EQ(flops_text(Flops{250.5e9}), "250 GFLOP");
}

TEST(NumberText, MoneyAndCounts) {
  EXPECT_EQ(usd_text(Usd{12.4}), "$12.40");
  EXPECT_EQ(usd_text(Usd{361000}), "$361K");
  EXPECT_EQ(usd_text(Usd{-5}), "-$5.00");
  EXPECT_EQ(count_text(120), "120");
  EXPECT_EQ(count_text(14.8e12), "14.8T");
  EXPECT_EQ(count_text(180200), "180K");
  EXPECT_EQ(grouped_text(62914560), "62 914 560");
  EXPECT_EQ(grouped_text(-1234), "-1 234");
  EXPECT_EQ(grouped_text(999), "999");
}

TEST(NumberText, RoundingNeverShowsAThousandOfTheSmallerUnit) {
  EXPECT_EQ(count_text(999960), "1.00M");
  EXPECT_EQ(rate_text(BytesPerSecond{999.96e9}), "1.00 TB/s");
}

TEST(NumberText, PercentagesHaveASign) {
  EXPECT_EQ(percent_text(0.4312), "43.1 %");
  EXPECT_EQ(signed_percent_text(-0.0173), "-1.7 %");
  EXPECT_EQ(signed_percent_text(0.0173), "+1.7 %");
  EXPECT_EQ(signed_percent_text(-0.0001), "0.0 %") << "nothing is minus zero";
}

TEST(NumberText, FixedAndSignificant) {
  EXPECT_EQ(fixed_text(3.14159, 2), "3.14");
  EXPECT_EQ(fixed_text(-0.001, 2), "0.00");
  EXPECT_EQ(significant_text(12345.6, 3), "12300");
  EXPECT_EQ(significant_text(0.0123456, 3), "0.0123");
  EXPECT_EQ(significant_text(0, 3), "0");
}

TEST(NumberText, WhatIsNoNumberSaysSo) {
  EXPECT_EQ(fixed_text(std::nan(""), 1), "n/a");
  EXPECT_EQ(fixed_text(std::numeric_limits<double>::infinity(), 1), "infinite");
}

// Three significant digits: what is shown is within 0.5 % of what is.
TEST(NumberText, ShownIsNearWhatIs) {
  constexpr std::uint64_t kSeed = 5;
  const Random random(kSeed, 1);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const double value = std::pow(10.0, random.uniform(i) * 14);
    const std::string text = rate_text(BytesPerSecond{value});
    const std::size_t space = text.find(' ');
    double scale = 1;
    for (const char prefix : std::string("kMGT")) {
      scale *= 1e3;
      if (text[space + 1] == prefix) break;
      if (prefix == 'T') scale = 1;
    }
    EXPECT_NEAR(std::stod(text.substr(0, space)) * scale / value, 1, 0.00502) << text << " for " << value << " (seed " << kSeed << ")";
  }
}

}  // namespace
}  // namespace trillion::number_text_test
