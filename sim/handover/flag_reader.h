// Given flags as a reader that remembers what was asked for and collects what is wrong. Internal to reading frameworks' flags.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/handover/given_flags.h"

namespace trillion {

class FlagReader {
 public:
  explicit FlagReader(const GivenFlags& given) : given_(given) {}

  // The flag that holds, or nullptr. Asking makes the name known.
  const GivenFlag* find(const std::string& name);
  bool has(const std::string& name);  // a switch: a value behind it is an error
  std::optional<std::int64_t> integer(const std::string& name, std::int64_t least = 1);
  std::int64_t integer_or(const std::string& name, std::int64_t otherwise) { return integer(name).value_or(otherwise); }
  std::optional<double> number(const std::string& name);  // any finite one: what it may be is the caller's
  std::optional<std::string> text(const std::string& name);
  std::vector<GivenWord> words(const std::string& name);

  // The values that a flag may have and what they mean; another one is an error that lists them.
  template <class Meaning, std::size_t kCount>
  std::optional<Meaning> choice(const std::string& name, const std::array<std::pair<Meaning, std::string_view>, kCount>& words) {
    const auto value = text(name);
    if (!value) return std::nullopt;
    std::vector<std::string> known;
    for (const auto& [meaning, word] : words) {
      if (*value == word) return meaning;
      known.emplace_back(word);
    }
    unknown_value(name, *value, known);
    return std::nullopt;
  }

  void problem(const std::string& name, const std::string& message, const std::string& hint = {});  // at the flag, if it is given
  void problem(const GivenWord& at, const std::string& message, const std::string& hint = {});
  void unknown_value(const std::string& name, const std::string& value, const std::vector<std::string>& known);

  const GivenFlags& given() const { return given_; }
  const std::set<std::string>& asked() const { return asked_; }
  std::vector<Diagnostic>& diagnostics() { return diagnostics_; }

 private:
  const GivenWord* one_value(const std::string& name);

  const GivenFlags& given_;
  std::set<std::string> asked_;
  std::vector<Diagnostic> diagnostics_;
};

}  // namespace trillion
