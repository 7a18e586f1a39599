#pragma once

#include <cstdint>

namespace trillion {

// How many pieces of b it takes to hold a: ceil(a / b). a >= 0, b > 0.
constexpr std::int64_t divided_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr double pieces(std::int64_t a, std::int64_t b) { return static_cast<double>(divided_up(a, b)); }

}  // namespace trillion
