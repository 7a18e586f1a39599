#include "sim/spec/yaml_scalar.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <string_view>

#include "sim/base/closest_word.h"

namespace trillion {

std::string found_text(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null: return "nothing";
    case YamlNode::Kind::list: return "a list";
    case YamlNode::Kind::mapping: return "a mapping";
    case YamlNode::Kind::scalar: break;
  }
  return "'" + node.text.substr(0, 60) + (node.text.size() > 60 ? "..." : "") + "'";
}

namespace {
// YAML 1.1's booleans: true to one reader, text to the next.
bool is_ambiguous_word(const YamlNode& node) {
  static constexpr std::string_view kWords[] = {"y", "n", "yes", "no", "on", "off"};
  return !node.quoted &&
         std::any_of(std::begin(kWords), std::end(kWords), [&](std::string_view w) { return edit_distance(w, node.text) == 0; });
}
}  // namespace

std::optional<Complaint> parse_integer(const YamlNode& node, std::int64_t& value) {
  const std::string expected = "expected a whole number, found " + found_text(node);
  if (node.kind != YamlNode::Kind::scalar) return Complaint{expected, ""};
  if (node.quoted) return Complaint{expected + " in quotes", "leave out the quotes"};
  const ParsedNumber number = parse_number(node.text);
  if (!number.ok()) return Complaint{"expected a whole number: " + number.problem, number.hint};
  const auto [end, error] = std::from_chars(node.text.data(), node.text.data() + node.text.size(), value);
  if (error == std::errc::result_out_of_range) return Complaint{expected + ", which is outside the range of 64-bit integers", ""};
  if (error != std::errc{} || end != node.text.data() + node.text.size()) {
    const bool whole = number.value == std::floor(number.value) && std::abs(number.value) < 9e15;
    return Complaint{expected, whole ? "write " + std::to_string(static_cast<std::int64_t>(number.value)) : ""};
  }
  return std::nullopt;
}

std::optional<Complaint> parse_double(const YamlNode& node, double& value) {
  if (node.kind != YamlNode::Kind::scalar) return Complaint{"expected a number, found " + found_text(node), ""};
  if (node.quoted) return Complaint{"expected a number, found " + found_text(node) + " in quotes", "leave out the quotes"};
  const ParsedNumber number = parse_number(node.text);
  if (!number.ok()) return Complaint{"expected a number: " + number.problem, number.hint};
  value = number.value;
  return std::nullopt;
}

std::optional<Complaint> parse_bool(const YamlNode& node, bool& value) {
  const std::string expected = "expected true or false, found " + found_text(node);
  if (node.kind != YamlNode::Kind::scalar) return Complaint{expected, ""};
  if (node.quoted) return Complaint{expected + " in quotes", "leave out the quotes"};
  if (is_ambiguous_word(node))
    return Complaint{expected + ", which is ambiguous: a boolean to some readers, text to others", "write true or false"};
  if (node.text != "true" && node.text != "false") {
    const auto nearest = closest_word(node.text, {"true", "false"});
    return Complaint{expected, nearest ? "did you mean '" + *nearest + "'?" : ""};
  }
  value = node.text == "true";
  return std::nullopt;
}

std::optional<Complaint> parse_text(const YamlNode& node, std::string& value) {
  if (node.kind != YamlNode::Kind::scalar) return Complaint{"expected text, found " + found_text(node), ""};
  const bool number = !node.quoted && parse_number(node.text).ok();
  const bool boolean = !node.quoted && (node.text == "true" || node.text == "false");
  if (number || boolean) {
    return Complaint{"expected text, found the " + std::string(number ? "number " : "boolean ") + found_text(node), "put it in quotes"};
  }
  if (is_ambiguous_word(node))
    return Complaint{found_text(node) + " is ambiguous: a boolean to some readers, text to others", "put it in quotes"};
  value = node.text;
  return std::nullopt;
}

Parse<double> parse_of_dimension(Dimension dimension) {
  return [dimension](const YamlNode& node, double& value) -> std::optional<Complaint> {
    if (node.kind != YamlNode::Kind::scalar) {
      return Complaint{"expected a value with one of the units " + accepted_units(dimension) + ", found " + found_text(node), ""};
    }
    const ParsedNumber number = parse_quantity(node.text, dimension);
    if (!number.ok()) return Complaint{number.problem, number.hint};
    value = number.value;
    return std::nullopt;
  };
}

std::string comma_list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

Parse<std::size_t> parse_of_names(const std::vector<std::string>& names) {
  return [&names](const YamlNode& node, std::size_t& value) -> std::optional<Complaint> {
    const auto found = node.kind == YamlNode::Kind::scalar ? std::find(names.begin(), names.end(), node.text) : names.end();
    if (found != names.end()) {
      value = static_cast<std::size_t>(found - names.begin());
      return std::nullopt;
    }
    const auto nearest = node.kind == YamlNode::Kind::scalar ? closest_word(node.text, names) : std::nullopt;
    return Complaint{"found " + found_text(node) + "; accepted is one of " + comma_list(names),
                     nearest ? "did you mean '" + *nearest + "'?" : ""};
  };
}

}  // namespace trillion
