// What the validate() functions collect: "key: what is wrong, what is accepted", in the form that YamlReader::report() reads.
// Figures that are out of range by themselves are found first, so that a comparison of two keys is only made of good ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/spec/unit_text.h"

namespace trillion {

class Problems {
 public:
  void add(std::string_view key, const std::string& message) { list_.push_back(std::string(key) + ": " + message); }

  // True when it holds, so that checks which build on it can be skipped.
  bool require(bool holds, std::string_view key, const std::string& message) {
    if (!holds) add(key, message);
    return holds;
  }

  bool within(std::string_view key, std::int64_t value, std::int64_t low, std::int64_t high) {
    return require(value >= low && value <= high, key,
                   "must be " + (value < low ? "at least " + std::to_string(low) : "at most " + std::to_string(high)) + ", found " +
                       std::to_string(value));
  }

  bool within(std::string_view key, double value, double low, double high) {
    return require(value >= low && value <= high, key,
                   "must be between " + exact_number_text(low) + " and " + exact_number_text(high) + ", found " + exact_number_text(value));
  }

  // Beyond what any machine does a figure is a slip of the pen.
  template <class Q>
  bool between(std::string_view key, Q value, Q low, Q high) {
    return require(value >= low && value <= high, key,
                   "must be between " + quantity_text(low) + " and " + quantity_text(high) + ", found " + quantity_text(value));
  }
  template <class Q>
  bool positive(std::string_view key, Q value) {
    return require(value.value() > 0, key, "must be more than zero, found " + quantity_text(value));
  }
  template <class Q>
  bool not_negative(std::string_view key, Q value) {
    return require(value.value() >= 0, key, "must not be negative, found " + quantity_text(value));
  }

  std::vector<std::string> take() { return std::move(list_); }

 private:
  std::vector<std::string> list_;
};

}  // namespace trillion
