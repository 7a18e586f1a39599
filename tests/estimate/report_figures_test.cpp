// A report read back: every value under its path, in order; what is no report is refused.
#include "sim/estimate/report_figures.h"

#include <gtest/gtest.h>

#include <string>

#include "sim/base/error.h"

namespace trillion::report_figures_test {
namespace {

TEST(ReportFigures, EveryValueHasItsPath) {
  const auto figures = report_figures(R"({"schema": "trillion.report/1", "a": {"b": [1.5, true, null]}, "c": "word"})", "x.json");
  ASSERT_EQ(figures.size(), 5u);
  EXPECT_EQ(figure(figures, "a.b.0")->number, 1.5);
  EXPECT_TRUE(figure(figures, "a.b.0")->is_number);
  EXPECT_EQ(figure(figures, "a.b.1")->text, "true");
  EXPECT_EQ(figure(figures, "a.b.2")->text, "null");
  EXPECT_EQ(figures.back().path, "c");
  EXPECT_EQ(figures.back().text, "word");
  EXPECT_EQ(figure(figures, "a.b"), nullptr);
}

TEST(ReportFigures, RefuseWhatIsNoReport) {
  EXPECT_THROW(report_figures("{", "x.json"), InputError);
  EXPECT_THROW(report_figures("[1]", "x.json"), InputError);
  EXPECT_THROW(report_figures(R"({"schema": "trillion.plan/1"})", "x.json"), InputError);
  std::string deep = R"({"schema": "trillion.report/1", "x": )";
  deep += std::string(100000, '[') + std::string(100000, ']') + "}";
  EXPECT_THROW(report_figures(deep, "x.json"), InputError);
}

}  // namespace
}  // namespace trillion::report_figures_test
