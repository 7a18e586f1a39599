// Least squares: bottoms of known parabolas, priors, outliers.
#include "calibration/fit/least_squares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trillion::least_squares_test {
namespace {

TEST(LeastSquares, FindsAParabolasBottomDespiteAnOutlier) {
  const std::vector<double> x = {0, 1, 2, 3, 4, 5, 6, 7};
  const auto residual = [&](const std::vector<double>& theta) {
    std::vector<double> r;
    for (std::size_t i = 0; i < x.size(); ++i) r.push_back(theta[0] + theta[1] * x[i] - (1 + 0.5 * x[i]) + (i == 3 ? 2.0 : 0.0));
    return r;
  };
  const auto theta = least_squares(residual, {{0, 100}, {0, 100}});
  EXPECT_NEAR(theta[0], 1, 0.1);
  EXPECT_NEAR(theta[1], 0.5, 0.02);
  // A fixed parameter stays.
  EXPECT_EQ(least_squares(residual, {{3, 0}, {0, 100}})[0], 3);
}

TEST(LeastSquares, QuantilesInterpolate) {
  EXPECT_EQ(quantile({}, 0.5), 0);
  EXPECT_EQ(quantile({3, 1, 2}, 0.5), 2);
  EXPECT_DOUBLE_EQ(quantile({0, 10}, 0.9), 9);
}

TEST(LeastSquares, APriorHoldsWhatTheDataDoNotSay) {
  // One equation, two unknowns: the firmer prior moves less.
  const auto residual = [](const std::vector<double>& theta) { return std::vector<double>{theta[0] + theta[1] - 1}; };
  const auto theta = least_squares(residual, {{0, 10}, {0, 0.1}});
  EXPECT_NEAR(theta[0] + theta[1], 1, 0.01);
  EXPECT_GT(theta[0], 0.95);
}

// The least of two lines through the data: derivatives of the line that was taken lead to the same end.
TEST(LeastSquares, ADerivativeOfTheAlternativeTakenIsEnough) {
  const auto line = [](const std::vector<double>& theta, int which, double x) { return which == 0 ? theta[0] + x : theta[1] + 0.1 * x; };
  const auto taken = [&](const std::vector<double>& theta, double x) { return line(theta, 0, x) < line(theta, 1, x) ? 0 : 1; };
  const std::vector<double> xs = {0, 1, 2, 3, 4, 5}, truth = {0.2, 1.5};
  const auto residuals = [&](const std::vector<double>& choice, const std::vector<double>& theta) {
    std::vector<double> r;
    for (const double x : xs) r.push_back(line(theta, taken(choice, x), x) - line(truth, taken(truth, x), x));
    return r;
  };
  const Residual whole = [&](const std::vector<double>& theta) { return residuals(theta, theta); };
  const ResidualNear near = [&](const std::vector<double>& at) -> Residual {
    return [&residuals, at](const std::vector<double>& theta) { return residuals(at, theta); };
  };
  const std::vector<Prior> priors = {{0, 100}, {1, 100}};
  const std::vector<double> found = least_squares(whole, near, priors), plain = least_squares(whole, priors);
  for (std::size_t i = 0; i < truth.size(); ++i) {
    EXPECT_NEAR(found[i], truth[i], 1e-3);
    EXPECT_NEAR(found[i], plain[i], 1e-3);
  }
}

}  // namespace
}  // namespace trillion::least_squares_test
