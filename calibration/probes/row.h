// Rows of a raw file: one JSON object a line, keys in the order in which they were added.
//
//   Row shape;
//   shape.text("op", "gemm").number("m", 4096);      ->  "op":"gemm","m":4096
//
// A row is a shape (what was measured: it is the point's identity when a run resumes) followed by a
// result (what came out). Numbers print shortest-round-trip; strings are escaped.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace probe {

class Row {
 public:
  Row& text(std::string_view key, std::string_view value);
  Row& number(std::string_view key, double value);
  Row& number(std::string_view key, std::int64_t value);
  Row& number(std::string_view key, int value) { return number(key, std::int64_t{value}); }
  Row& flag(std::string_view key, bool value);
  Row& numbers(std::string_view key, const std::vector<std::int64_t>& values);
  Row& object(std::string_view key, const Row& value);
  static Row from_members(std::string members);  // text that another process's Row printed
  Row& append(const Row& other);

  // The members without braces, so that two rows can be joined.
  const std::string& members() const { return members_; }

 private:
  void begin(std::string_view key);
  std::string members_;
};

}  // namespace probe
