// Where a number lies among ascending knots.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace trillion {

// Index of the cell and the fraction within it, clamped to the ends.
struct Cell {
  std::size_t index = 0;
  double fraction = 0;
};

inline Cell find_cell(const std::vector<double>& knots, double x) {
  if (knots.size() < 2 || x <= knots.front()) return {0, 0.0};
  if (x >= knots.back()) return {knots.size() - 2, 1.0};
  const auto upper = std::upper_bound(knots.begin(), knots.end(), x);
  const auto index = static_cast<std::size_t>(upper - knots.begin()) - 1;
  return {index, (x - knots[index]) / (knots[index + 1] - knots[index])};
}

}  // namespace trillion
