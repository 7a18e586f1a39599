#include "sim/spec/unit_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/base/closest_word.h"
#include "sim/base/error.h"

namespace trillion {

namespace {

// value = number * 10^exponent * multiply / divide. The exponent is applied to the text, so that "14.8T" and "5 us" are the
// doubles nearest to 1.48e13 and 5e-6.
struct Unit {
  std::string_view name;
  int exponent = 0;
  double multiply = 1;
  double divide = 1;
  bool written = false;  // quantity_text may write it
};

constexpr double kKi = 1024, kMi = kKi * 1024, kGi = kMi * 1024, kTi = kGi * 1024;

// clang-format off
constexpr Unit kCount[] = {{"", 0, 1, 1, true}, {"K", 3, 1, 1, true}, {"M", 6, 1, 1, true}, {"B", 9, 1, 1, true}, {"T", 12, 1, 1, true}};
constexpr Unit kSeconds[] = {{"s", 0, 1, 1, true}, {"ms", -3, 1, 1, true}, {"us", -6, 1, 1, true}, {"ns", -9, 1, 1, true},
                             {"ps", -12, 1, 1, true}, {"min", 0, 60}, {"h", 0, 3600}, {"day", 0, 86400}, {"days", 0, 86400}};
constexpr Unit kBytes[] = {{"B", 0, 1, 1, true}, {"kB", 3}, {"MB", 6}, {"GB", 9, 1, 1, true}, {"TB", 12}, {"PB", 15},
                           {"KiB", 0, kKi, 1, true}, {"MiB", 0, kMi, 1, true}, {"GiB", 0, kGi, 1, true}, {"TiB", 0, kTi, 1, true}};
constexpr Unit kFlops[] = {{"FLOP", 0, 1, 1, true}, {"kFLOP", 3}, {"MFLOP", 6, 1, 1, true}, {"GFLOP", 9, 1, 1, true},
                           {"TFLOP", 12, 1, 1, true}, {"PFLOP", 15, 1, 1, true}, {"EFLOP", 18, 1, 1, true}};
constexpr Unit kUsd[] = {{"USD", 0, 1, 1, true}};
constexpr Unit kJoules[] = {{"J", 0, 1, 1, true}, {"kJ", 3, 1, 1, true}, {"MJ", 6, 1, 1, true}, {"kWh", 3, 3600}, {"MWh", 6, 3600}};
constexpr Unit kBytesPerSecond[] = {
    {"B/s", 0, 1, 1, true}, {"kB/s", 3}, {"MB/s", 6, 1, 1, true}, {"GB/s", 9, 1, 1, true}, {"TB/s", 12, 1, 1, true},
    {"MiB/s", 0, kMi}, {"GiB/s", 0, kGi}, {"TiB/s", 0, kTi},
    {"b/s", 0, 1, 8}, {"kb/s", 3, 1, 8}, {"Mb/s", 6, 1, 8}, {"Gb/s", 9, 1, 8}, {"Tb/s", 12, 1, 8},
    {"bps", 0, 1, 8}, {"kbps", 3, 1, 8}, {"Mbps", 6, 1, 8}, {"Gbps", 9, 1, 8}, {"Tbps", 12, 1, 8}};
constexpr Unit kFlopsPerSecond[] = {{"FLOP/s", 0, 1, 1, true}, {"MFLOP/s", 6}, {"GFLOP/s", 9, 1, 1, true}, {"TFLOP/s", 12, 1, 1, true},
                                    {"PFLOP/s", 15}, {"EFLOP/s", 18}, {"GFLOPS", 9}, {"TFLOPS", 12}, {"PFLOPS", 15}};
constexpr Unit kUsdPerSecond[] = {{"USD/h", 0, 1, 3600, true}, {"USD/day", 0, 1, 86400}, {"USD/s", 0, 1, 1, true}};
constexpr Unit kUsdPerJoule[] = {{"USD/kWh", -3, 1, 3600, true}, {"USD/MWh", -6, 1, 3600}, {"USD/J", 0, 1, 1, true}};
constexpr Unit kWatts[] = {{"W", 0, 1, 1, true}, {"kW", 3, 1, 1, true}, {"MW", 6, 1, 1, true}};
// clang-format on

struct DimensionUnits {
  std::string_view what;
  std::string_view example;
  std::span<const Unit> units;
};

// Indexed by Dimension.
constexpr std::array<DimensionUnits, 11> kDimensions = {{{"a count", "14.8T", kCount},
                                                         {"a duration", "5 us", kSeconds},
                                                         {"a size in bytes", "80 GiB", kBytes},
                                                         {"an amount of arithmetic", "250 GFLOP", kFlops},
                                                         {"an amount of money", "100 USD", kUsd},
                                                         {"an energy", "3 kWh", kJoules},
                                                         {"a bandwidth", "400 Gbps", kBytesPerSecond},
                                                         {"an arithmetic rate", "989.4 TFLOP/s", kFlopsPerSecond},
                                                         {"a price per time", "2 USD/h", kUsdPerSecond},
                                                         {"a price per energy", "0.08 USD/kWh", kUsdPerJoule},
                                                         {"a power", "700 W", kWatts}}};

const DimensionUnits& units_of(Dimension dimension) { return kDimensions[static_cast<std::size_t>(dimension)]; }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Length of the longest JSON number at the start of `text`; 0: none.
std::size_t number_length(std::string_view text) {
  std::size_t i = 0;
  if (i < text.size() && text[i] == '-') ++i;
  const std::size_t first = i;
  while (i < text.size() && is_digit(text[i])) ++i;
  if (i == first) return 0;
  if (text[first] == '0') i = first + 1;
  if (i + 1 < text.size() && text[i] == '.' && is_digit(text[i + 1])) {
    ++i;
    while (i < text.size() && is_digit(text[i])) ++i;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    std::size_t j = i + 1;
    if (j < text.size() && (text[j] == '+' || text[j] == '-')) ++j;
    if (j < text.size() && is_digit(text[j])) {
      while (j < text.size() && is_digit(text[j])) ++j;
      i = j;
    }
  }
  return i;
}

// Why a text that starts like a number is none, in words; empty when it has no such excuse.
ParsedNumber explain_not_a_number(std::string_view text) {
  const std::string quoted = "'" + std::string(text) + "'";
  const std::string_view body = !text.empty() && (text[0] == '-' || text[0] == '+') ? text.substr(1) : text;
  if (body == ".inf" || body == ".nan" || body == "inf" || body == "nan" || body == "Infinity" || body == "NaN" || body == ".Inf" ||
      body == ".NaN" || body == ".INF" || body == ".NAN") {
    return {0, quoted + " is not a finite number", ""};
  }
  if (body.size() > 1 && body[0] == '0' && is_digit(body[1])) {
    return {0, quoted + " is ambiguous: octal to some readers, decimal to others", "write it without leading zeros"};
  }
  if (body.size() > 1 && body[0] == '0' && (body[1] == 'x' || body[1] == 'o' || body[1] == 'b')) {
    return {0, quoted + " is not a decimal number", "write it in decimal"};
  }
  if (!body.empty() && is_digit(body[0]) && body.find('_') != std::string_view::npos) {
    return {0, quoted + " is ambiguous: digit groups are a number to some readers, text to others", "write the digits without '_'"};
  }
  if (!body.empty() && is_digit(body[0]) && body.find(':') != std::string_view::npos) {
    return {0, quoted + " is ambiguous: base 60 to some readers, text to others", ""};
  }
  if (!body.empty() && is_digit(body[0]) && body.find(',') != std::string_view::npos) {
    return {0, quoted + " is not a number", "write a decimal point and no digit groups"};
  }
  if (!text.empty() && text[0] == '+') return {0, quoted + " is not a number", "leave out the '+'"};
  if (!body.empty() && body[0] == '.') return {0, quoted + " is not a number", "write a digit before the decimal point"};
  if (!body.empty() && body.back() == '.') return {0, quoted + " is not a number", "write a digit after the decimal point"};
  return {0, quoted + " is not a number", ""};
}

// text * 10^exponent, rounded once. REQUIRES: text is a JSON number.
ParsedNumber read_number(std::string_view text, int exponent) {
  std::string shifted(text);
  if (exponent != 0) {
    const std::size_t e = text.find_first_of("eE");
    std::int64_t written = 0;
    if (e != std::string_view::npos) {
      const char* first = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
      if (std::from_chars(first, text.data() + text.size(), written).ec != std::errc{}) written = text[e + 1] == '-' ? -10000 : 10000;
    }
    shifted = std::string(text.substr(0, e)) + "e" + std::to_string(std::clamp<std::int64_t>(written, -10000, 10000) + exponent);
  }
  double value = 0;
  const auto [end, error] = std::from_chars(shifted.data(), shifted.data() + shifted.size(), value);
  if (error == std::errc{}) return {value, "", ""};
  return {0, "'" + std::string(text) + "' is outside the range of numbers", ""};
}

std::string unit_hint(std::string_view unit, Dimension dimension) {
  std::vector<std::string> names;
  for (const Unit& u : units_of(dimension).units) names.emplace_back(u.name);
  if (dimension == Dimension::bytes_per_second && edit_distance(unit, "gbps") == 0)
    return "b is bit, B is byte: did you mean 'Gbps' or 'GB/s'?";
  if (const auto nearest = closest_word(unit, names); nearest && !nearest->empty()) return "did you mean '" + *nearest + "'?";
  return "";
}

}  // namespace

ParsedNumber parse_number(std::string_view text) {
  text = trim(text);
  if (text.empty()) return {0, "there is no number", ""};
  if (number_length(text) != text.size()) return explain_not_a_number(text);
  return read_number(text, 0);
}

ParsedNumber parse_quantity(std::string_view text, Dimension dimension) {
  text = trim(text);
  const DimensionUnits& known = units_of(dimension);
  const std::string accepted = "a number with one of the units " + accepted_units(dimension);
  const std::size_t length = number_length(text);
  const std::string example = "for example '" + std::string(known.example) + "'";
  if (length == 0) {
    ParsedNumber reason = explain_not_a_number(text);
    return {0, "'" + std::string(text) + "' is not " + std::string(known.what), reason.hint.empty() ? example : reason.hint};
  }
  const std::string_view digits = text.substr(0, length);
  const std::string_view unit = trim(text.substr(length));
  if (!unit.empty() && (is_digit(unit[0]) || unit[0] == '_' || unit[0] == ':' || unit[0] == '.' || unit[0] == ',')) {
    return explain_not_a_number(text);
  }
  for (const Unit& u : known.units) {
    if (u.name != unit) continue;
    ParsedNumber number = read_number(digits, u.exponent);
    if (!number.ok()) return number;
    number.value = number.value * u.multiply / u.divide;
    if (!std::isfinite(number.value)) return {0, "'" + std::string(text) + "' is not a finite number", ""};
    return number;
  }
  if (unit.empty()) {
    return {0, "'" + std::string(text) + "' has no unit; accepted is " + accepted, example};
  }
  return {0, "'" + std::string(unit) + "' is not a unit of " + std::string(known.what) + "; accepted is " + accepted,
          unit_hint(unit, dimension)};
}

std::string accepted_units(Dimension dimension) {
  std::string text;
  for (const Unit& u : units_of(dimension).units) {
    if (u.name.empty()) continue;
    text += (text.empty() ? "" : ", ") + std::string(u.name);
  }
  return text;
}

std::string exact_number_text(double value) {
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), end.ptr};
}

namespace {

// value / 10^exponent as shortest decimal: the digits are the value's, only the point moves, so nothing is rounded.
std::string shifted_text(double value, int exponent) {
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  std::string text(buffer.data(), end.ptr);
  const std::size_t e = text.find('e');
  const int power = std::stoi(text.substr(e + 1)) - exponent;
  std::string sign, digits;
  for (const char c : text.substr(0, e)) {
    if (c == '-') sign = "-";
    if (is_digit(c)) digits += c;
  }
  const int count = static_cast<int>(digits.size());
  if (power < -4 || power > 15) return sign + digits.substr(0, 1) + (count > 1 ? "." + digits.substr(1) : "") + "e" + std::to_string(power);
  if (power < 0) return sign + "0." + std::string(static_cast<std::size_t>(-power - 1), '0') + digits;
  if (count <= power + 1) return sign + digits + std::string(static_cast<std::size_t>(power + 1 - count), '0');
  return sign + digits.substr(0, static_cast<std::size_t>(power + 1)) + "." + digits.substr(static_cast<std::size_t>(power + 1));
}

}  // namespace

// Of the texts that read back exactly the shortest, but 3.35 TB/s rather than 3350 GB/s; of equals the first in the table.
std::string quantity_text(double value, Dimension dimension) {
  const std::string_view space = dimension == Dimension::count ? "" : " ";
  std::string best;
  std::size_t best_cost = 0;
  for (const Unit& u : units_of(dimension).units) {
    if (!u.written) continue;
    std::string text = shifted_text(value / u.multiply * u.divide, u.exponent);
    const double number = std::abs(parse_number(text).value);
    const std::size_t cost = text.size() + u.name.size() + (number >= 1 && number < 1000 ? 0 : 1);
    text.append(space).append(u.name);
    const ParsedNumber back = parse_quantity(text, dimension);
    if (!back.ok() || back.value != value || (!best.empty() && cost >= best_cost)) continue;
    best = text;
    best_cost = cost;
  }
  CHECK(!best.empty(), "every dimension has a unit of factor 1");
  return best;
}

}  // namespace trillion
