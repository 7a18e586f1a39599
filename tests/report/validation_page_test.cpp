// Predicted against published as a table.
#include "sim/report/validation_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trillion {
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

}  // namespace
}  // namespace trillion
