// The standard normal distribution.
#pragma once

#include <algorithm>
#include <cmath>

namespace trillion {

// The value that a share `p` of a standard normal distribution stays below, to 3e-3 (Abramowitz and Stegun, 26.2.22).
// REQUIRES: 0 < p < 1.
inline double normal_quantile(double p) {
  const double t = std::sqrt(-2 * std::log(std::min(p, 1 - p)));
  const double z = t - (2.30753 + 0.27061 * t) / (1 + 0.99229 * t + 0.04481 * t * t);
  return p < 0.5 ? -z : z;
}

}  // namespace trillion
