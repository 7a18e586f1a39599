// Cross-validation: every point is held out once, points of one shape together; provenance says the weakest origin.
#include "calibration/fit/points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/fit/bench_points.h"

namespace trillion::points_test {
namespace {

TEST(Points, EachIsHeldOutOnceAndNeverSeenByItsFit) {
  const Points points = points_of(gemm_file(40, 0.0));
  std::size_t tested = 0;
  held_out(points, [&](const Points& train, const Points& test) {
    std::set<std::uint64_t> seen;
    for (const auto& point : train) seen.insert(point.hash);
    for (const auto& point : test) EXPECT_EQ(seen.count(point.hash), 0u);
    EXPECT_EQ(train.size() + test.size(), points.size());
    tested += test.size();
    return std::vector<double>(test.size(), 1.0);
  });
  EXPECT_EQ(tested, points.size());
}

TEST(Points, OneShapeCannotBeHeldOut) {
  Points points = points_of(gemm_file(1, 0.0));
  points.push_back(points.front());  // the same shape twice
  EXPECT_TRUE(held_out(points, [](const Points&, const Points& test) { return std::vector<double>(test.size(), 1.0); }).empty());
}

TEST(Points, ResidualsAreOfTheRatioMinusOne) {
  const Residuals r = residuals_of({std::log(1.1), std::log(0.9), std::log(1.3)});
  EXPECT_NEAR(r.median, 0.1, 1e-12);
  EXPECT_EQ(r.points, 3);
}

TEST(Points, TheWeakestOriginCounts) {
  Points points = points_of(gemm_file(3, 0.0));
  points[1].provenance = {Origin::paper, "a paper"};
  EXPECT_EQ(provenance_of(points).origin, Origin::paper);
  EXPECT_EQ(provenance_of(points).source, "a bench; a paper");
}

}  // namespace
}  // namespace trillion::points_test
