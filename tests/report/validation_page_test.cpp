// Predicted against published as a table.
#include "sim/report/validation_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trillion::validation_page_test {
namespace {

using testing::HasSubstr;

TEST(ValidationPage, ShowsErrorToleranceAndMedian) {
  const std::string text = validation_page({{"good", "step.time_s", 19.0, 20.0, 0.1, "report"},
                                            {"bad", "step.mfu_causal", 0.5, 0.4, 0.1, "paper"},
                                            {"stuck", "step.time_s", std::nullopt, 20.0, 0.1, "paper"}},
                                           {});
  EXPECT_THAT(text, HasSubstr("19.0 s"));
  EXPECT_THAT(text, HasSubstr("-5.0 %"));
  EXPECT_THAT(text, HasSubstr("+25.0 %"));
  EXPECT_THAT(text, HasSubstr("OUTSIDE"));
  EXPECT_THAT(text, HasSubstr("cannot run"));
  EXPECT_THAT(text, HasSubstr("median |error| 15.0 %, 1 of 3 within tolerance"));
}

TEST(ValidationPage, KnownGapsAreNamedWithTheirReasonAndCounted) {
  ValidationRow gap{"runs", "step.time_s", 12.0, 20.0, 0.1, "paper"};
  gap.name = "8 GPUs";
  gap.known_gap = "no overlap";
  ValidationRow memory{"runs", "memory.stages.0.peak_bytes", 1.02e9, 1e9, 0.03, "paper"};
  ValidationRow larger = gap;
  larger.name = "16 GPUs";
  const std::string text = validation_page({gap, larger, memory, {"other", "step.time_s", 19.0, 20.0, 0.1, "report"}}, {});
  EXPECT_THAT(text, HasSubstr("runs: 8 GPUs"));
  EXPECT_THAT(text, HasSubstr("known gap"));
  EXPECT_THAT(text, HasSubstr("  no overlap\n    runs: 8 GPUs\n    runs: 16 GPUs\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("OUTSIDE")));
  EXPECT_THAT(text, testing::ContainsRegex("runs +40.0 % \\(2 rows\\) +2.0 % \\(1 row\\)"));
  EXPECT_THAT(text, HasSubstr("median |error| 22.5 %, 2 of 4 within tolerance"));
}

TEST(ValidationPage, ScenariosOfOneCaseShareALine) {
  const std::string text =
      validation_page({{"a", "step.time_s", 19.0, 20.0, 0.1, "report"}, {"b", "step.time_s", 18.0, 20.0, 0.1, "report"}}, {});
  EXPECT_THAT(text, testing::ContainsRegex("scenarios of one case: 2 +7.5 % \\(2 rows\\)"));
  EXPECT_THAT(text, testing::Not(testing::ContainsRegex("\na +5.0 %")));
}

}  // namespace
}  // namespace trillion::validation_page_test
