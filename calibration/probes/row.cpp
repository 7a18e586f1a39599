#include "row.h"

#include <charconv>
#include <cstdio>

namespace probe {
namespace {

std::string quoted(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char buffer[8];
      std::snprintf(buffer, sizeof buffer, "\\u%04x", static_cast<unsigned char>(c));
      out += buffer;
    } else {
      out += c;
    }
  }
  return out + '"';
}

template <typename T>
std::string shortest(T value) {
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return std::string(buffer, end);
}

}  // namespace

void Row::begin(std::string_view key) {
  if (!members_.empty()) members_ += ',';
  members_ += quoted(key);
  members_ += ':';
}

Row& Row::text(std::string_view key, std::string_view value) {
  begin(key);
  members_ += quoted(value);
  return *this;
}

Row& Row::number(std::string_view key, double value) {
  begin(key);
  members_ += shortest(value);
  return *this;
}

Row& Row::number(std::string_view key, std::int64_t value) {
  begin(key);
  members_ += shortest(value);
  return *this;
}

Row& Row::flag(std::string_view key, bool value) {
  begin(key);
  members_ += value ? "true" : "false";
  return *this;
}

Row& Row::numbers(std::string_view key, const std::vector<std::int64_t>& values) {
  begin(key);
  members_ += '[';
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) members_ += ',';
    members_ += shortest(values[i]);
  }
  members_ += ']';
  return *this;
}

Row& Row::object(std::string_view key, const Row& value) {
  begin(key);
  members_ += '{' + value.members_ + '}';
  return *this;
}

Row Row::from_members(std::string members) {
  Row row;
  row.members_ = std::move(members);
  return row;
}

Row& Row::append(const Row& other) {
  if (!members_.empty() && !other.members_.empty()) members_ += ',';
  members_ += other.members_;
  return *this;
}

}  // namespace probe
