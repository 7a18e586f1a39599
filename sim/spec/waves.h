// Work items on SMs.
#pragma once

#include <cmath>

namespace trillion {

//   waves(x) = 1                                  x <= 1        one item still takes its whole time
//            = (1 - s) ceil(x) + s x              otherwise     x = items / SMs; smoothing s: 0 whole waves, 1 no quantisation
//
// REQUIRES: x > 0.
inline double effective_waves(double items_per_sm, double smoothing) {
  if (items_per_sm <= 1.0) return 1.0;
  return (1.0 - smoothing) * std::ceil(items_per_sm) + smoothing * items_per_sm;
}

}  // namespace trillion
