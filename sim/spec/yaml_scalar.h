// What one value of an input file may look like, by type. Internal to the reader: each function reads one node or says what is
// wrong with it, in words that end in what was found and what is accepted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/spec/unit_text.h"
#include "sim/spec/yaml_tree.h"

namespace trillion {

struct Complaint {
  std::string message, hint;
};

// Writes the value, or says why there is none.
template <class T>
using Parse = std::function<std::optional<Complaint>(const YamlNode&, T&)>;

std::optional<Complaint> parse_integer(const YamlNode& node, std::int64_t& value);
std::optional<Complaint> parse_double(const YamlNode& node, double& value);
std::optional<Complaint> parse_bool(const YamlNode& node, bool& value);
std::optional<Complaint> parse_text(const YamlNode& node, std::string& value);
Parse<double> parse_of_dimension(Dimension dimension);
// The index of a name. REQUIRES: names outlives the result.
Parse<std::size_t> parse_of_names(const std::vector<std::string>& names);

// "'abc'", "a list", "nothing".
std::string found_text(const YamlNode& node);

// "a, b, c"
std::string comma_list(const std::vector<std::string>& names);

}  // namespace trillion
