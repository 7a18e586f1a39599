#include "sim/handover/flag_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "sim/base/closest_word.h"

namespace trillion {

const GivenFlag* FlagReader::find(const std::string& name) {
  const bool first_time = asked_.insert(name).second;
  const auto last = std::find_if(given_.flags.rbegin(), given_.flags.rend(), [&](const GivenFlag& f) { return f.name.text == name; });
  if (last == given_.flags.rend()) return nullptr;
  if (last->conditional && first_time) {
    problem(last->name, "whether " + name + " holds depends on what the script finds when it runs",
            "put the flags of this run into a file of their own");
  }
  return &*last;
}

bool FlagReader::has(const std::string& name) {
  const GivenFlag* flag = find(name);
  if (flag == nullptr) return false;
  for (const GivenWord& value : flag->values) {
    if (!value.unknown) problem(value, name + " is a switch and takes no value, found '" + value.text + "'");
  }
  return true;
}

const GivenWord* FlagReader::one_value(const std::string& name) {
  const GivenFlag* flag = find(name);
  if (flag == nullptr) return nullptr;
  if (flag->values.empty()) {
    problem(flag->name, name + " takes a value, and none follows");
    return nullptr;
  }
  const GivenWord& value = flag->values.front();
  if (value.unknown) {
    problem(value, "the value of " + name + " is a variable or a command that this file does not settle", "write NAME=value above it");
    return nullptr;
  }
  for (std::size_t i = 1; i < flag->values.size(); ++i) {
    if (!flag->values[i].unknown) problem(flag->values[i], name + " takes one value, found '" + flag->values[i].text + "' too");
  }
  return &value;
}

std::optional<std::int64_t> FlagReader::integer(const std::string& name, std::int64_t least) {
  const GivenWord* word = one_value(name);
  if (word == nullptr) return std::nullopt;
  std::int64_t value = 0;
  const char* const last = word->text.data() + word->text.size();
  const auto [end, error] = std::from_chars(word->text.data(), last, value);
  if (error != std::errc{} || end != last || word->text.empty()) {
    problem(*word, name + " takes a whole number, found '" + word->text + "'");
    return std::nullopt;
  }
  constexpr std::int64_t kMost = 1'000'000'000'000'000;
  if (value < least || value > kMost) {
    problem(*word, name + " must be at least " + std::to_string(least) + " and of a possible size, found " + word->text);
    return std::nullopt;
  }
  return value;
}

std::optional<double> FlagReader::number(const std::string& name) {
  const GivenWord* word = one_value(name);
  if (word == nullptr) return std::nullopt;
  double value = 0;
  const char* const last = word->text.data() + word->text.size();
  const auto [end, error] = std::from_chars(word->text.data(), last, value);
  if (error == std::errc{} && end == last && std::isfinite(value)) return value;
  problem(*word, name + " takes a number, found '" + word->text + "'");
  return std::nullopt;
}

std::optional<std::string> FlagReader::text(const std::string& name) {
  const GivenWord* word = one_value(name);
  return word == nullptr ? std::nullopt : std::optional<std::string>(word->text);
}

std::vector<GivenWord> FlagReader::words(const std::string& name) {
  const GivenFlag* flag = find(name);
  if (flag == nullptr) return {};
  std::vector<GivenWord> known;
  for (const GivenWord& value : flag->values) {
    if (value.unknown) {
      problem(value, "a value of " + name + " is a variable or a command that this file does not settle", "write NAME=value above it");
    } else {
      known.push_back(value);
    }
  }
  if (flag->values.empty()) problem(flag->name, name + " takes values, and none follows");
  return known;
}

void FlagReader::problem(const std::string& name, const std::string& message, const std::string& hint) {
  if (const GivenFlag* flag = find(name)) return problem(flag->name, message, hint);
  diagnostics_.push_back({{given_.file, 0, 0}, message, {}, hint});
}

void FlagReader::problem(const GivenWord& at, const std::string& message, const std::string& hint) {
  diagnostics_.push_back({at.where, message, at.line, hint});
}

void FlagReader::unknown_value(const std::string& name, const std::string& value, const std::vector<std::string>& known) {
  std::string all;
  for (const std::string& word : known) all += (all.empty() ? "" : ", ") + word;
  const auto nearest = closest_word(value, known);
  const GivenFlag* flag = find(name);
  problem(flag->values.front(), name + " '" + value + "' is not one of " + all,
          nearest ? "did you mean '" + *nearest + "'?" : std::string{});
}

}  // namespace trillion
