// The word for an enumerator: tables of words stand beside the enums, in their order.
#pragma once

#include <cstddef>
#include <string>

namespace trillion {

// REQUIRES: `value` has a word.
template <class Names, class Enum>
std::string name_of(const Names& names, Enum value) {
  return std::string(names.at(static_cast<std::size_t>(value)));
}

}  // namespace trillion
