// The simulator's clock: whole picoseconds, so that adding never rounds and equal positions stay bit-equal.
//
// int64 picoseconds end after 106 days: a *step* lives in SimTime, a *run* in Seconds.
#pragma once

#include <cmath>
#include <compare>
#include <cstdint>
#include <limits>

#include "sim/base/error.h"
#include "sim/base/quantity.h"

namespace trillion {

class SimTime {
 public:
  constexpr SimTime() = default;
  constexpr explicit SimTime(std::int64_t picoseconds) : picoseconds_(picoseconds) {}

  // The one place where seconds become clock ticks: rounded up, so that work is never shorter than its cost.
  // REQUIRES: 0 <= seconds, finite, below 106 days.
  static SimTime from(Seconds seconds) {
    const double ticks = std::ceil(seconds.value() * 1e12);
    CHECK(ticks >= 0 && ticks < 9.2e18, "duration outside SimTime's range");
    return SimTime(static_cast<std::int64_t>(ticks));
  }

  constexpr std::int64_t picoseconds() const { return picoseconds_; }
  constexpr Seconds seconds() const { return Seconds{static_cast<double>(picoseconds_) * 1e-12}; }
  constexpr auto operator<=>(const SimTime&) const = default;

  friend SimTime operator+(SimTime a, SimTime b) {
    std::int64_t sum = 0;
    CHECK(!__builtin_add_overflow(a.picoseconds_, b.picoseconds_, &sum), "SimTime overflow");
    return SimTime(sum);
  }
  friend SimTime operator-(SimTime a, SimTime b) { return SimTime(a.picoseconds_ - b.picoseconds_); }
  SimTime& operator+=(SimTime other) { return *this = *this + other; }

  static constexpr SimTime max() { return SimTime(std::numeric_limits<std::int64_t>::max()); }

 private:
  std::int64_t picoseconds_ = 0;
};

}  // namespace trillion
