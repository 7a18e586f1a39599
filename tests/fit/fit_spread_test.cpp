// How unlike chips are, from surveys. What must hold: a known deviation comes back within its interval; kinds are compared with their own
// mean; a chip counts once; chips that nothing holds back, outliers and too few chips say nothing, and the notes say so; a facts.yaml has
// the last word.
#include "calibration/fit/fit_spread.h"

#include <gtest/gtest.h>

#include <cmath>

#include "calibration/fit/fit.h"
#include "sim/base/number_text.h"
#include "sim/base/random.h"
#include "tests/fit/bench_points.h"

namespace trillion::fit_spread_test {
namespace {

std::string survey_row(const std::string& chip, double flops, double clock = 1400) {
  return R"({"op":"survey","device":0,"chip":")" + chip + R"(","time_s":0.0016,"flops_per_s":)" + significant_text(flops, 12) +
         R"(,"copy_bytes_per_s":2.9e12,"clock_mhz":)" + significant_text(clock, 4) + "}\n";
}

RawFile survey(const std::string& gpu, const std::string& rows) {
  return parse_raw(
      R"({"schema":"trillion.raw/1","gpu":")" + gpu + R"(","origin":"measured","source":"bench","clock_max_mhz":1980})" + "\n" + rows,
      gpu + ".jsonl");
}

// Rates around `mean` whose sample deviation is known by its own definition.
std::string drawn_rows(int chips, double mean, double deviation, std::uint64_t stream) {
  const Random random(kSeed, stream);
  std::string rows;
  for (int i = 0; i < chips; ++i) rows += survey_row("chip" + std::to_string(i), mean * (1 + deviation * random.normal(i)));
  return rows;
}

TEST(FitSpread, AKnownDeviationComesBack) {
  std::vector<std::string> notes;
  const auto spread = fit_spread({survey("H100", drawn_rows(400, 6.6e14, 0.012, 1))}, notes);
  ASSERT_TRUE(spread.has_value());
  EXPECT_NEAR(spread->value, 0.012, 0.0012);
  EXPECT_EQ(spread->provenance.origin, Origin::measured);
  EXPECT_NE(spread->provenance.source.find("400 H100"), std::string::npos) << spread->provenance.source;
  EXPECT_TRUE(notes.empty());
}

TEST(FitSpread, IsOfRatiosAndOfEachKindsOwnMean) {
  std::vector<std::string> notes;
  const auto one = fit_spread({survey("H100", drawn_rows(20, 6.6e14, 0.01, 2))}, notes);
  const auto faster = fit_spread({survey("H100", drawn_rows(20, 1.32e15, 0.01, 2))}, notes);
  const auto two = fit_spread({survey("H100", drawn_rows(20, 6.6e14, 0.01, 2)), survey("H200", drawn_rows(20, 7.5e14, 0.01, 2))}, notes);
  ASSERT_TRUE(one && faster && two);
  EXPECT_EQ(one->value, faster->value);
  EXPECT_NEAR(two->value, one->value, 1e-4);  // rounded to that
}

TEST(FitSpread, AChipCountsOnce) {
  std::vector<std::string> notes;
  const std::string rows = drawn_rows(8, 6.6e14, 0.01, 3);
  const auto once = fit_spread({survey("H100", rows)}, notes), again = fit_spread({survey("H100", rows), survey("H100", rows)}, notes);
  ASSERT_TRUE(once && again);
  EXPECT_EQ(once->value, again->value);
  EXPECT_EQ(once->provenance.source, again->provenance.source);
}

TEST(FitSpread, WhatTellsNothingIsLeftOutAndNamed) {
  std::vector<std::string> notes;
  const std::string rows = drawn_rows(12, 6.6e14, 0.01, 4);
  const auto clean = fit_spread({survey("H100", rows)}, notes);
  ASSERT_TRUE(clean && notes.empty());
  const auto odd = fit_spread({survey("H100", rows + survey_row("slow", 5.9e14) + survey_row("free", 8e14, 1975))}, notes);
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->value, clean->value);
  EXPECT_EQ(notes.size(), 2u);
}

TEST(FitSpread, ChipsWithoutANameAreSetAside) {
  const std::string row = R"({"op":"survey","device":0,"time_s":0.0016,"flops_per_s":6.6e14,"copy_bytes_per_s":2.9e12,"clock_mhz":1400})";
  const RawFile file = survey("H100", row + "\n" + row + "\n");
  EXPECT_TRUE(file.others.empty());
  EXPECT_EQ(file.notes, std::vector<std::string>{"2 rows: a survey that does not name its chips"});
}

TEST(FitSpread, AHandfulOfChipsIsTooFew) {
  std::vector<std::string> notes;
  EXPECT_FALSE(fit_spread({survey("H100", drawn_rows(int{kEnoughChips} - 1, 6.6e14, 0.01, 5))}, notes));
  EXPECT_EQ(notes.size(), 1u);
  EXPECT_TRUE(fit_spread({survey("H100", drawn_rows(int{kEnoughChips}, 6.6e14, 0.01, 5))}, notes));
  notes.clear();
  EXPECT_FALSE(fit_spread({}, notes));
  EXPECT_TRUE(notes.empty());
}

TEST(FitSpread, ACalibrationTakesItInThePlaceOfWhatIsAssumed) {
  RawFile bench = bench_file();
  bench.rows.push_back({{Gemm{DType::bf16, 4096, 4096, 4096}, 0, Load::burst}, Seconds{2e-4}, bench.provenance, {}});
  const std::string gpu = bench.gpu;
  const auto assumed = fit({bench}).calibration.stack.chip_spread;
  EXPECT_EQ(assumed.provenance.origin, Origin::assumed);
  const auto measured = fit({bench, survey(gpu, drawn_rows(30, 6.6e14, 0.01, 6))}).calibration.stack.chip_spread;
  EXPECT_EQ(measured.provenance.origin, Origin::measured);
  EXPECT_NE(measured.value, assumed.value);
}

}  // namespace
}  // namespace trillion::fit_spread_test
