// Predicted against published:
//   relative error = predicted / published - 1; a row is ok iff its magnitude is at most the tolerance
//   the median is over rows with a prediction, the mean of the middle two for an even number
#include "sim/estimate/validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/error.h"

namespace trillion::validation_test {
namespace {

const std::vector<ReportFigure> kFigures = {
    {"step.time_s", true, 21.0, {}}, {"step.mfu_causal", true, 0.4, {}}, {"plan.schedule", false, 0, "1f1b"}};

ExpectedCase expected(const std::string& quantity, double published, double tolerance) {
  return {"as told", {}, {{quantity, published, tolerance, {Origin::paper, "the report"}, {}}}};
}

TEST(Validation, ARowIsOkIffWithinItsTolerance) {
  const ValidationRow within = validation_rows("s", expected("step.time_s", 20, 0.051), kFigures).at(0);
  const ValidationRow outside = validation_rows("s", expected("step.time_s", 20, 0.049), kFigures).at(0);
  EXPECT_NEAR(within.relative_error(), 0.05, 1e-12);
  EXPECT_EQ(within.name, "as told");
  EXPECT_TRUE(within.ok());
  EXPECT_FALSE(outside.ok());
}

TEST(Validation, AnUnknownQuantityNamesTheNearest) {
  try {
    validation_rows("s", expected("step.time", 20, 0.1), kFigures);
    FAIL() << "not refused";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("did you mean 'step.time_s'?"));
  }
  EXPECT_THROW(validation_rows("s", expected("plan.schedule", 20, 0.1), kFigures), InputError);
}

TEST(Validation, NothingIsRelativeToZero) { EXPECT_THROW(validation_rows("s", expected("step.time_s", 0, 0.1), kFigures), InputError); }

TEST(Validation, APlanThatCannotRunIsNotOk) {
  const auto rows = unpredicted_rows("s", expected("step.time_s", 20, 0.1));
  EXPECT_FALSE(rows[0].ok());
  EXPECT_EQ(median_absolute_relative_error(rows), std::nullopt);
}

TEST(Validation, AKnownGapExplainsARowWithoutMakingItOk) {
  ExpectedCase gap = expected("step.time_s", 10, 0.1);
  EXPECT_TRUE(validation_rows("s", gap, kFigures).at(0).unexplained());
  gap.figures[0].known_gap = "no overlap";
  const ValidationRow row = validation_rows("s", gap, kFigures).at(0);
  EXPECT_FALSE(row.ok());
  EXPECT_FALSE(row.unexplained());
}

TEST(Validation, TheMeasuredShareIsTheReports) {
  std::vector<ReportFigure> figures = kFigures;
  const auto add = [&](const std::string& i, const std::string& origin, double share) {
    figures.push_back({"origins." + i + ".origin", false, 0, origin});
    figures.push_back({"origins." + i + ".share_of_time", true, share, {}});
  };
  add("0", "measured", 0.5);
  add("1", "vendor", 0.3);
  add("2", "measured", 0.1);
  const ValidationRow row = validation_rows("s", expected("step.time_s", 20, 0.1), figures).at(0);
  EXPECT_DOUBLE_EQ(row.measured_share, 0.6);
  EXPECT_TRUE(row.parts_measured());
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
}  // namespace trillion::validation_test
