// Dimensioned values as text: "400 Gbps", "80 GiB", "3.35 TB/s", "2 USD/h", "5 us", "989.4 TFLOP/s", "14.8T".
//
// b is bit, B is byte. k M G T P E are powers of 1000, Ki Mi Gi Ti powers of 1024. A unit is required and its case matters:
// "400 gbps" means GB/s to one tool and Gb/s to the next, so it is an error that names both. Numbers are written as JSON
// writes them (12, -0.5, 3.35e12); what YAML dialects read differently (010, 1_000, 12:30, 0x10, .inf) is an error.
//
// | dimension         | units                                                                             |
// | time              | ps ns us ms s min h day days                                                      |
// | bytes             | B kB MB GB TB PB KiB MiB GiB TiB                                                  |
// | bytes per second  | B/s ... TB/s, MiB/s GiB/s TiB/s, b/s ... Tb/s, bps kbps Mbps Gbps Tbps            |
// | flops             | FLOP ... EFLOP (a count), per second FLOP/s ... EFLOP/s, also written TFLOPS      |
// | usd               | USD; per second USD/s USD/h USD/day; per joule USD/kWh USD/MWh USD/J              |
// | energy, power     | J kJ MJ kWh MWh; W kW MW                                                          |
// | count             | none, K M B T (thousand, million, billion, trillion)                              |
#pragma once

#include <string>
#include <string_view>

#include "sim/base/quantity.h"

namespace trillion {

enum class Dimension {
  count,
  seconds,
  bytes,
  flops,
  usd,
  joules,
  bytes_per_second,
  flops_per_second,
  usd_per_second,
  usd_per_joule,
  watts,
};

// clang-format off
template <class Q> inline constexpr Dimension kDimensionOf = Dimension::count;
template <> inline constexpr Dimension kDimensionOf<Seconds> = Dimension::seconds;
template <> inline constexpr Dimension kDimensionOf<Bytes> = Dimension::bytes;
template <> inline constexpr Dimension kDimensionOf<Flops> = Dimension::flops;
template <> inline constexpr Dimension kDimensionOf<Usd> = Dimension::usd;
template <> inline constexpr Dimension kDimensionOf<Joules> = Dimension::joules;
template <> inline constexpr Dimension kDimensionOf<BytesPerSecond> = Dimension::bytes_per_second;
template <> inline constexpr Dimension kDimensionOf<FlopsPerSecond> = Dimension::flops_per_second;
template <> inline constexpr Dimension kDimensionOf<UsdPerSecond> = Dimension::usd_per_second;
template <> inline constexpr Dimension kDimensionOf<UsdPerJoule> = Dimension::usd_per_joule;
template <> inline constexpr Dimension kDimensionOf<Watts> = Dimension::watts;
// clang-format on

// A value in SI base units, or what is wrong with the text.
struct ParsedNumber {
  double value = 0;
  std::string problem;  // empty: `value` is good
  std::string hint;     // what to write instead; may be empty

  bool ok() const { return problem.empty(); }
};

// "12", "-0.5", "3e8"; finite. Nothing else is a number.
ParsedNumber parse_number(std::string_view text);

// "80 GiB" with Dimension::bytes -> 85899345920. The space is optional.
ParsedNumber parse_quantity(std::string_view text, Dimension dimension);

// Accepted units, for messages: "B, kB, MB, GB, TB, PB, KiB, MiB, GiB, TiB".
std::string accepted_units(Dimension dimension);

// The inverse of parse_quantity, to the last bit: "50 GB/s", "3.35 TB/s", "5 us". What a program writes into a file.
std::string quantity_text(double value, Dimension dimension);

template <class Q>
std::string quantity_text(Q quantity) {
  return quantity_text(quantity.value(), kDimensionOf<Q>);
}

// Shortest decimal that reads back as the same double: "0.1", "12", "3.35e+12".
std::string exact_number_text(double value);

}  // namespace trillion
