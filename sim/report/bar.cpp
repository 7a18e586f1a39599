#include "sim/report/bar.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <string_view>

#include "sim/base/error.h"

namespace trillion {
namespace {

constexpr std::array<std::string_view, kPartSigns> kUnicodeSigns = {"▒", "▓", "▞", "█", "·", "░", "╳"};
constexpr std::array<std::string_view, kPartSigns> kAsciiSigns = {"f", "b", "w", "#", ".", "o", "x"};

// Columns of each part: floors first, then one more for the largest remainders, the earlier part winning a tie.
std::vector<int> shared_out(const std::vector<double>& parts, double total, int columns) {
  std::vector<int> widths;
  std::vector<double> remainders;
  for (const double part : parts) {
    const double exact = std::max(part, 0.0) / total * columns;
    widths.push_back(static_cast<int>(std::floor(exact)));
    remainders.push_back(exact - std::floor(exact));
  }
  std::vector<std::size_t> order(parts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return remainders[a] > remainders[b]; });
  int left = columns - std::accumulate(widths.begin(), widths.end(), 0);
  for (std::size_t i = 0; left > 0 && i < order.size(); ++i, --left) ++widths[order[i]];
  return widths;
}

}  // namespace

std::string bar(double fraction, int columns, const TextStyle& style) {
  const double exact = std::clamp(fraction, 0.0, 1.0) * columns;
  std::string text;
  if (!style.unicode) return text.append(static_cast<std::size_t>(std::lround(exact)), '#');
  static constexpr std::array<std::string_view, 8> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const long eighths = std::lround(exact * 8);
  for (long i = 0; i < eighths / 8; ++i) text += "█";
  return text.append(kEighths[static_cast<std::size_t>(eighths % 8)]);
}

std::string part_sign(std::size_t part, const TextStyle& style) {
  return std::string((style.unicode ? kUnicodeSigns : kAsciiSigns).at(part));
}

std::string stacked_bar(const std::vector<double>& parts, int columns, const TextStyle& style) {
  CHECK(parts.size() <= kPartSigns);
  double total = 0;
  for (const double part : parts) total += std::max(part, 0.0);
  if (!(total > 0)) return {};
  const std::vector<int> widths = shared_out(parts, total, columns);
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (int column = 0; column < widths[i]; ++column) text += part_sign(i, style);
  }
  return text;
}

}  // namespace trillion
