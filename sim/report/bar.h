// Bars made of characters: one value against a whole, or several parts side by side.
#pragma once

#include <string>
#include <vector>

#include "sim/report/text_style.h"

namespace trillion {

// A bar of `fraction` (0 to 1, clamped) of `columns`, to an eighth of a column in Unicode and to a whole one in ASCII.
// No padding: "███▌".
std::string bar(double fraction, int columns, const TextStyle& style);

// The sign of the i-th part of a stacked bar, one column wide. Parts are told apart by it without any colour.
std::string part_sign(std::size_t part, const TextStyle& style);
inline constexpr std::size_t kPartSigns = 7;

// Parts in proportion, exactly `columns` wide in all (largest remainders get the odd columns). Negative parts count as 0; if all
// are 0 the bar is empty. REQUIRES: at most kPartSigns parts.
std::string stacked_bar(const std::vector<double>& parts, int columns, const TextStyle& style);

}  // namespace trillion
