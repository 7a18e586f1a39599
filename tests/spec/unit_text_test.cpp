// Algebra: parse(text) is the double nearest to number x unit; quantity_text is its inverse, to the last bit.
#include "sim/spec/unit_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "sim/base/random.h"

namespace trillion::unit_text_test {
namespace {

using testing::HasSubstr;

TEST(UnitText, ValuesInSiUnits) {
  EXPECT_EQ(parse_quantity("400 Gbps", Dimension::bytes_per_second).value, 50e9);
  EXPECT_EQ(parse_quantity("400 Gb/s", Dimension::bytes_per_second).value, 50e9);
  EXPECT_EQ(parse_quantity("400Gb/s", Dimension::bytes_per_second).value, 50e9);
  EXPECT_EQ(parse_quantity("3.35 TB/s", Dimension::bytes_per_second).value, 3.35e12);
  EXPECT_EQ(parse_quantity("80 GiB", Dimension::bytes).value, 80.0 * 1024 * 1024 * 1024);
  EXPECT_EQ(parse_quantity("80 GB", Dimension::bytes).value, 80e9);
  EXPECT_EQ(parse_quantity("5 us", Dimension::seconds).value, 5e-6);
  EXPECT_EQ(parse_quantity("0.1 ms", Dimension::seconds).value, 1e-4);
  EXPECT_EQ(parse_quantity("2 h", Dimension::seconds).value, 7200);
  EXPECT_EQ(parse_quantity("700 W", Dimension::watts).value, 700);
  EXPECT_EQ(parse_quantity("989.4 TFLOP/s", Dimension::flops_per_second).value, 989.4e12);
  EXPECT_EQ(parse_quantity("989.4 TFLOPS", Dimension::flops_per_second).value, 989.4e12);
  EXPECT_EQ(parse_quantity("14.8T", Dimension::count).value, 14.8e12);
  EXPECT_EQ(parse_quantity("469B", Dimension::count).value, 469e9);
  EXPECT_EQ(parse_quantity("1e12", Dimension::count).value, 1e12);
  EXPECT_EQ(parse_quantity("15360", Dimension::count).value, 15360);
  EXPECT_DOUBLE_EQ(parse_quantity("2 USD/h", Dimension::usd_per_second).value * 3600, 2);
  EXPECT_DOUBLE_EQ(parse_quantity("0.08 USD/kWh", Dimension::usd_per_joule).value * 3.6e6, 0.08);
}

TEST(UnitText, ABareNumberNamesTheAcceptedUnits) {
  const ParsedNumber parsed = parse_quantity("400", Dimension::bytes_per_second);
  EXPECT_FALSE(parsed.ok());
  EXPECT_THAT(parsed.problem, HasSubstr("has no unit"));
  EXPECT_THAT(parsed.problem, HasSubstr("Gbps"));
  EXPECT_THAT(parsed.problem, HasSubstr("GB/s"));
}

TEST(UnitText, BitAndByteAreNotGuessed) {
  const ParsedNumber parsed = parse_quantity("400 gbps", Dimension::bytes_per_second);
  EXPECT_FALSE(parsed.ok());
  EXPECT_THAT(parsed.hint, HasSubstr("'Gbps' or 'GB/s'"));
  EXPECT_FALSE(parse_quantity("80 Gb", Dimension::bytes).ok()) << "memory is not measured in bits";
  EXPECT_FALSE(parse_quantity("80 gib", Dimension::bytes).ok());
}

TEST(UnitText, TheWrongDimensionIsAnError) {
  EXPECT_FALSE(parse_quantity("80 GiB", Dimension::bytes_per_second).ok());
  EXPECT_FALSE(parse_quantity("5 us", Dimension::bytes).ok());
  EXPECT_FALSE(parse_quantity("2 USD", Dimension::usd_per_second).ok());
  EXPECT_FALSE(parse_quantity("14.8T", Dimension::seconds).ok());
}

TEST(UnitText, WhatReadersDisagreeOnIsNoNumber) {
  for (const char* text : {"010", "00",  "-010", "1_000", "12:30", "0x10",  "0o17",          "+5",  ".5",  "5.",    "1,000", "1e", "",
                           " ",   "nan", ".nan", "inf",   "-.inf", "1e999", "1e99999999999", "--1", "1 2", "1.2.3", "one"}) {
    EXPECT_FALSE(parse_number(text).ok()) << "'" << text << "'";
    EXPECT_FALSE(parse_quantity(std::string(text) + " GiB", Dimension::bytes).ok()) << "'" << text << " GiB'";
  }
  EXPECT_FALSE(parse_quantity("1e300 TiB", Dimension::bytes).ok() && std::isinf(parse_quantity("1e300 TiB", Dimension::bytes).value));
}

TEST(UnitText, JsonNumbersAreNumbers) {
  EXPECT_EQ(parse_number("0").value, 0);
  EXPECT_EQ(parse_number("-0.5").value, -0.5);
  EXPECT_EQ(parse_number("3.35e12").value, 3.35e12);
  EXPECT_EQ(parse_number("1E-6").value, 1e-6);
  EXPECT_EQ(parse_number("1e+3").value, 1000);
}

TEST(UnitText, TextAndValueAreInverses) {
  constexpr std::uint64_t kSeed = 20241226;
  const Random random(kSeed, 0);
  for (int dimension = 0; dimension <= static_cast<int>(Dimension::watts); ++dimension) {
    for (std::uint64_t i = 0; i < 500; ++i) {
      const double magnitude = std::pow(10.0, random.uniform(2 * i) * 36 - 18);
      const double value = (i % 2 == 0 ? 1 : -1) * magnitude * random.uniform(2 * i + 1);
      const std::string text = quantity_text(value, static_cast<Dimension>(dimension));
      const ParsedNumber back = parse_quantity(text, static_cast<Dimension>(dimension));
      ASSERT_TRUE(back.ok()) << text << ": " << back.problem << " (seed " << kSeed << ", " << i << ")";
      ASSERT_EQ(back.value, value) << text << " (seed " << kSeed << ", " << i << ")";
    }
  }
}

TEST(UnitText, TextIsAsAPersonWouldWriteIt) {
  EXPECT_EQ(quantity_text(BytesPerSecond{50e9}), "50 GB/s");
  EXPECT_EQ(quantity_text(BytesPerSecond{3.35e12}), "3.35 TB/s");
  EXPECT_EQ(quantity_text(Seconds{5e-6}), "5 us");
  EXPECT_EQ(quantity_text(80 * kGiB), "80 GiB");
  EXPECT_EQ(quantity_text(Seconds{0}), "0 s");
  EXPECT_EQ(quantity_text(14.8e12, Dimension::count), "14.8T");
  EXPECT_EQ(quantity_text(UsdPerSecond{2.0 / 3600}), "2 USD/h");
}

}  // namespace
}  // namespace trillion::unit_text_test
