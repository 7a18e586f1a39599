#include "sim/base/number_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <span>

namespace trillion {

namespace {

struct Unit {
  double scale;
  const char* name;
};

// The largest unit in which the value is at least 1 after rounding to four digits (999.96 K reads "1.000 M", not "1000 K").
std::string in_units(double value, std::span<const Unit> ascending, const char* separator) {
  const Unit* unit = &ascending.front();
  for (const Unit& u : ascending) {
    if (std::abs(value) >= u.scale * 0.99995) unit = &u;
  }
  const double scaled = value / unit->scale;
  const double magnitude = std::abs(scaled);
  const int decimals = magnitude >= 99.995 ? 1 : magnitude >= 9.9995 ? 2 : 3;
  std::string text = fixed_text(scaled, std::max(0, decimals - 1));
  return text + separator + unit->name;
}

}  // namespace

std::string fixed_text(double value, int decimals) {
  if (std::isnan(value)) return "n/a";
  if (std::isinf(value)) return value > 0 ? "infinite" : "-infinite";
  std::array<char, 400> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed, decimals);
  std::string text(buffer.data(), end.ptr);
  if (text.front() == '-' && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

std::string significant_text(double value, int digits) {
  if (value == 0 || !std::isfinite(value)) return fixed_text(value, 0);
  const int exponent = static_cast<int>(std::floor(std::log10(std::abs(value))));
  const double step = std::pow(10.0, exponent - digits + 1);
  const double rounded = std::round(value / step) * step;
  return fixed_text(rounded, std::max(0, digits - 1 - exponent));
}

std::string duration_text(Seconds t) {
  static constexpr Unit kUnits[] = {{1e-12, "ps"}, {1e-9, "ns"}, {1e-6, "us"}, {1e-3, "ms"}, {1, "s"}, {86400, "days"}};
  if (t.value() == 0) return "0 s";
  if (std::abs(t.value()) >= 600 && std::abs(t.value()) < 3600) return fixed_text(t.value() / 60, 1) + " min";
  if (std::abs(t.value()) >= 3600 && std::abs(t.value()) < 86400) return fixed_text(t.value() / 3600, 1) + " h";
  return in_units(t.value(), kUnits, " ");
}

std::string bytes_text(Bytes b) {
  static constexpr Unit kUnits[] = {
      {1, "B"}, {1024.0, "KiB"}, {1048576.0, "MiB"}, {1073741824.0, "GiB"}, {1099511627776.0, "TiB"}, {1125899906842624.0, "PiB"}};
  if (b.value() == 0) return "0 B";
  return in_units(b.value(), kUnits, " ");
}

std::string rate_text(BytesPerSecond r) {
  static constexpr Unit kUnits[] = {{1, "B/s"}, {1e3, "kB/s"}, {1e6, "MB/s"}, {1e9, "GB/s"}, {1e12, "TB/s"}};
  return in_units(r.value(), kUnits, " ");
}

std::string flops_rate_text(FlopsPerSecond r) {
  static constexpr Unit kUnits[] = {{1e6, "MFLOP/s"}, {1e9, "GFLOP/s"}, {1e12, "TFLOP/s"}, {1e15, "PFLOP/s"}, {1e18, "EFLOP/s"}};
  // Chips are compared in TFLOP/s, also above a thousand.
  if (r.value() >= 1e12 && r.value() < 1e16) return fixed_text(r.value() / 1e12, r.value() < 1e14 ? 1 : 0) + " TFLOP/s";
  return in_units(r.value(), kUnits, " ");
}

std::string flops_text(Flops f) {
  static constexpr Unit kUnits[] = {{1, "FLOP"}, {1e6, "MFLOP"}, {1e9, "GFLOP"}, {1e12, "TFLOP"}, {1e15, "PFLOP"}, {1e18, "EFLOP"}};
  return in_units(f.value(), kUnits, " ");
}

std::string usd_text(Usd usd) {
  static constexpr Unit kUnits[] = {{1, ""}, {1e3, "K"}, {1e6, "M"}, {1e9, "B"}};
  const double value = usd.value();
  if (std::abs(value) < 1000) return (value < 0 ? "-$" : "$") + fixed_text(std::abs(value), 2);
  return (value < 0 ? "-$" : "$") + in_units(std::abs(value), kUnits, "");
}

std::string count_text(double count) {
  static constexpr Unit kUnits[] = {{1, ""}, {1e3, "K"}, {1e6, "M"}, {1e9, "B"}, {1e12, "T"}, {1e15, "P"}};
  if (std::abs(count) < 1000 && count == std::round(count)) return fixed_text(count, 0);
  return in_units(count, kUnits, "");
}

std::string grouped_text(std::int64_t count) {
  std::string digits = std::to_string(count);
  const std::size_t first = digits.front() == '-' ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, 1, ' ');
  return digits;
}

std::string percent_text(double ratio) { return fixed_text(ratio * 100, 1) + " %"; }

std::string signed_percent_text(double ratio) {
  const std::string text = fixed_text(ratio * 100, 1);
  return (text.front() == '-' || text == "0.0" ? "" : "+") + text + " %";
}

}  // namespace trillion
