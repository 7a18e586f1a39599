// What must hold: the quantile is the inverse of the distribution function, and symmetric.
#include "sim/base/normal.h"

#include <gtest/gtest.h>

namespace trillion::normal_test {
namespace {

TEST(Normal, TheQuantileInvertsTheDistribution) {
  for (double p = 0.001; p < 1; p += 0.013) {
    EXPECT_NEAR(normal_quantile(p), -normal_quantile(1 - p), 1e-12);
    const double z = normal_quantile(p), density = std::exp(-z * z / 2) / std::sqrt(2 * std::acos(-1.0));
    EXPECT_NEAR(std::erfc(-z / std::sqrt(2.0)) / 2, p, 3e-3 * density + 1e-9) << p;
  }
}

}  // namespace
}  // namespace trillion::normal_test
