// The word for an enumerator: tables of words stand beside the enums, in their order.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace trillion {

// REQUIRES: `value` has a word.
template <class Names, class Enum>
std::string name_of(const Names& names, Enum value) {
  return std::string(names.at(static_cast<std::size_t>(value)));
}

// REQUIRES: each of `values` has a word.
template <class Names, class Enum>
std::vector<std::string> names_of(const Names& names, const std::vector<Enum>& values) {
  std::vector<std::string> out;
  for (const Enum value : values) out.push_back(name_of(names, value));
  return out;
}

}  // namespace trillion
