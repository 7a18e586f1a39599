// The middle of some values, the mean of the two middle ones where they are even in number.
#pragma once

#include <algorithm>
#include <vector>

namespace trillion {

// REQUIRES: not empty.
inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

}  // namespace trillion
