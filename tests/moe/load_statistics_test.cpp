// Algebra of load statistics:
//   one load, or equal ones: 1 and 0; by hand for three
//   scaling changes nothing; n loads of which one is all: n and sqrt(n - 1)
//   without noise over_mean() divides by the mean; noise of the sample alone shrinks deviations, of the tokens alone widens them
#include "sim/moe/load_statistics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace trillion::load_statistics_test {
namespace {

TEST(LoadStatistics, ByHand) {
  const LoadStatistics s = statistics_of({1, 2, 3});
  EXPECT_DOUBLE_EQ(s.max_over_mean, 1.5);
  EXPECT_DOUBLE_EQ(s.coefficient_of_variation, std::sqrt(2.0 / 3) / 2);
  EXPECT_DOUBLE_EQ(statistics_of({10, 20, 30}).coefficient_of_variation, s.coefficient_of_variation);
}

TEST(LoadStatistics, Extremes) {
  EXPECT_EQ(statistics_of({7, 7, 7}).max_over_mean, 1);
  EXPECT_EQ(statistics_of({7, 7, 7}).coefficient_of_variation, 0);
  EXPECT_EQ(statistics_of({0, 0, 5, 0}).max_over_mean, 4);
  EXPECT_DOUBLE_EQ(statistics_of({0, 0, 5, 0}).coefficient_of_variation, std::sqrt(3.0));
  for (const std::vector<double>& none : {std::vector<double>{}, std::vector<double>{0, 0}}) {
    EXPECT_EQ(statistics_of(none).max_over_mean, 1);
    EXPECT_EQ(statistics_of(none).coefficient_of_variation, 0);
    EXPECT_EQ(max_over_mean(none), 1);
  }
}

TEST(LoadStatistics, NoiseRescalesDeviations) {
  const std::vector<double> loads = {8, 10, 12};  // variance 8/3
  EXPECT_EQ(over_mean(loads), (std::vector<double>{0.8, 1.0, 1.2}));
  EXPECT_NEAR(over_mean(loads, {2.0, 0})[2], 1 + 0.2 * std::sqrt(0.25), 1e-12);
  EXPECT_NEAR(over_mean(loads, {0, 8.0})[2], 1 + 0.2 * 2, 1e-12);
  EXPECT_EQ(over_mean(loads, {100, 0}), (std::vector<double>{1, 1, 1})) << "all of it may have been noise";
  EXPECT_EQ(over_mean({3, 3}, {1, 1}), (std::vector<double>{1, 1})) << "no direction to widen";
  EXPECT_EQ(over_mean({0, 0}), (std::vector<double>{1, 1}));
}

}  // namespace
}  // namespace trillion::load_statistics_test
