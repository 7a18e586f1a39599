#include "sim/spec/chip_spread.h"

#include <algorithm>
#include <cmath>

#include "sim/base/error.h"
#include "sim/base/normal.h"

namespace trillion {
namespace {

// Where a box plot's whiskers end: 1.5 times the distance of the quartiles beyond them.
constexpr double kWhisker = 2.7;

}  // namespace

double expected_largest(std::int64_t n) {
  CHECK(n >= 1, "a largest of nothing");
  if (n == 1) return 0;
  const double count = static_cast<double>(n);
  return std::min(kWhisker, normal_quantile((count - 0.375) / (count + 0.25)));
}

double slowest_clock(double spread, std::int64_t chips) { return std::max(0.0, 1 - spread * expected_largest(chips)); }

ChipPower slowest_of(const ChipPower& power, double spread, std::int64_t chips) {
  ChipPower slowest = power;
  if (slowest.measured_under.value() <= 0) slowest.measured_under = power.limit;  // the curves are another chip's
  slowest.limit = power.idle + (power.limit - power.idle) * std::pow(slowest_clock(spread, chips), power.exponent);
  return slowest;
}

}  // namespace trillion
