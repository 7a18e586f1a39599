// Physical quantities: a double with a dimension, so that bytes never meet seconds by accident.
//
//   Seconds t = Bytes{1e9} / BytesPerSecond{50e9};   // 0.02 s
//   Seconds x = Bytes{1} + Seconds{1};               // does not compile
//
// All values are in SI base units (seconds, bytes, FLOP, US dollars, joules); scaling to GiB, ms or kUSD happens
// only where a person reads (base/number_text.h).
#pragma once

#include <compare>

namespace trillion {

template <int kTime, int kData, int kWork, int kMoney, int kEnergy>
class Quantity {
 public:
  constexpr Quantity() = default;
  constexpr explicit Quantity(double value) : value_(value) {}

  // The number in SI base units.
  constexpr double value() const { return value_; }

  constexpr auto operator<=>(const Quantity&) const = default;
  constexpr Quantity operator-() const { return Quantity(-value_); }
  constexpr Quantity& operator+=(Quantity other) { return value_ += other.value_, *this; }
  constexpr Quantity& operator-=(Quantity other) { return value_ -= other.value_, *this; }
  constexpr Quantity& operator*=(double factor) { return value_ *= factor, *this; }
  constexpr Quantity& operator/=(double divisor) { return value_ /= divisor, *this; }

  friend constexpr Quantity operator+(Quantity a, Quantity b) { return Quantity(a.value_ + b.value_); }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return Quantity(a.value_ - b.value_); }
  friend constexpr Quantity operator*(Quantity a, double factor) { return Quantity(a.value_ * factor); }
  friend constexpr Quantity operator*(double factor, Quantity a) { return Quantity(a.value_ * factor); }
  friend constexpr Quantity operator/(Quantity a, double divisor) { return Quantity(a.value_ / divisor); }

 private:
  double value_ = 0;
};

using Seconds = Quantity<1, 0, 0, 0, 0>;
using Bytes = Quantity<0, 1, 0, 0, 0>;
using Flops = Quantity<0, 0, 1, 0, 0>;
using Usd = Quantity<0, 0, 0, 1, 0>;
using Joules = Quantity<0, 0, 0, 0, 1>;
using BytesPerSecond = Quantity<-1, 1, 0, 0, 0>;
using FlopsPerSecond = Quantity<-1, 0, 1, 0, 0>;
using UsdPerSecond = Quantity<-1, 0, 0, 1, 0>;
using UsdPerJoule = Quantity<0, 0, 0, 1, -1>;
using Watts = Quantity<-1, 0, 0, 0, 1>;

namespace detail {
// A dimensionless product or ratio is a plain double.
template <int kTime, int kData, int kWork, int kMoney, int kEnergy>
constexpr auto make_quantity(double value) {
  if constexpr (kTime == 0 && kData == 0 && kWork == 0 && kMoney == 0 && kEnergy == 0) {
    return value;
  } else {
    return Quantity<kTime, kData, kWork, kMoney, kEnergy>(value);
  }
}
}  // namespace detail

template <int kT1, int kD1, int kW1, int kM1, int kE1, int kT2, int kD2, int kW2, int kM2, int kE2>
constexpr auto operator*(Quantity<kT1, kD1, kW1, kM1, kE1> a, Quantity<kT2, kD2, kW2, kM2, kE2> b) {
  return detail::make_quantity<kT1 + kT2, kD1 + kD2, kW1 + kW2, kM1 + kM2, kE1 + kE2>(a.value() * b.value());
}

template <int kT1, int kD1, int kW1, int kM1, int kE1, int kT2, int kD2, int kW2, int kM2, int kE2>
constexpr auto operator/(Quantity<kT1, kD1, kW1, kM1, kE1> a, Quantity<kT2, kD2, kW2, kM2, kE2> b) {
  return detail::make_quantity<kT1 - kT2, kD1 - kD2, kW1 - kW2, kM1 - kM2, kE1 - kE2>(a.value() / b.value());
}

inline constexpr Bytes kKiB{1024.0};
inline constexpr Bytes kMiB{1024.0 * 1024.0};
inline constexpr Bytes kGiB{1024.0 * 1024.0 * 1024.0};
inline constexpr Seconds kMicrosecond{1e-6};
inline constexpr Seconds kHour{3600.0};
inline constexpr Seconds kDay{86400.0};

}  // namespace trillion
