// Predicted against published:
//   relative error = predicted / published - 1; a row is ok iff its magnitude is at most the tolerance
//   the median is over rows with a prediction, the mean of the middle two for an even number
#include "sim/estimate/validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/error.h"

namespace trillion {
namespace {

const std::vector<ReportFigure> kFigures = {
    {"step.time_s", true, 21.0, {}}, {"step.mfu_causal", true, 0.4, {}}, {"plan.schedule", false, 0, "1f1b"}};

ExpectedFigure expected(const std::string& quantity, double published, double tolerance) {
  return {quantity, published, tolerance, {Origin::paper, "the report"}};
}

TEST(Validation, ARowIsOkIffWithinItsTolerance) {
  const auto rows = validation_rows("s", {expected("step.time_s", 20, 0.051), expected("step.time_s", 20, 0.049)}, kFigures);
  EXPECT_NEAR(rows[0].relative_error(), 0.05, 1e-12);
  EXPECT_TRUE(rows[0].ok());
  EXPECT_FALSE(rows[1].ok());
}

TEST(Validation, AnUnknownQuantityNamesTheNearest) {
  try {
    validation_rows("s", {expected("step.time", 20, 0.1)}, kFigures);
    FAIL() << "not refused";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("did you mean 'step.time_s'?"));
  }
  EXPECT_THROW(validation_rows("s", {expected("plan.schedule", 20, 0.1)}, kFigures), InputError);
}

TEST(Validation, NothingIsRelativeToZero) { EXPECT_THROW(validation_rows("s", {expected("step.time_s", 0, 0.1)}, kFigures), InputError); }

TEST(Validation, APlanThatCannotRunIsNotOk) {
  const auto rows = unpredicted_rows("s", {expected("step.time_s", 20, 0.1)});
  EXPECT_FALSE(rows[0].ok());
  EXPECT_EQ(median_absolute_relative_error(rows), std::nullopt);
}

TEST(Validation, MedianOfMagnitudes) {
  std::vector<ValidationRow> rows = {{"", "", 1.1, 1, 1, ""}, {"", "", 0.7, 1, 1, ""}, {"", "", 1.2, 1, 1, ""}};
  EXPECT_NEAR(*median_absolute_relative_error(rows), 0.2, 1e-12);
  rows.push_back({"", "", std::nullopt, 1, 1, ""});
  EXPECT_NEAR(*median_absolute_relative_error(rows), 0.2, 1e-12);
  rows.push_back({"", "", 0.6, 1, 1, ""});
  EXPECT_NEAR(*median_absolute_relative_error(rows), 0.25, 1e-12);
}

TEST(Validation, JsonHasEveryFieldOfTheInterface) {
  const std::string json = validation_json({{"s", "step.time_s", 21.0, 20.0, 0.1, "src"}, {"t", "q", std::nullopt, 1.0, 0.1, "src"}});
  for (const char* field :
       {"\"schema\": \"trillion.validation/1\"", "\"scenario\": \"s\"", "\"quantity\": \"step.time_s\"", "\"predicted\": 21.0",
        "\"published\": 20.0", "\"relative_error\": 0.05", "\"tolerance\": 0.1", "\"source\": \"src\"", "\"ok\": true",
        "\"predicted\": null", "\"ok\": false", "\"median_absolute_relative_error\": 0.05"}) {
    EXPECT_THAT(json, testing::HasSubstr(field));
  }
}

}  // namespace
}  // namespace trillion
