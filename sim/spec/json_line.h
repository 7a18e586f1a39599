// One JSON object on one line, as raw measurements and `trillion time` use them. Strict where JSON libraries are lenient: a
// duplicate key, a non-finite number or anything after the object is an error with its column. Numbers keep their text, so that
// an integer is never rounded through a double.
//
//   const JsonLine line = parse_json_line(R"({"op":"gemm","m":4096})", {"shapes.jsonl", 3, 1});
//   line.find("m")->text == "4096"
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/base/error.h"

namespace trillion {

enum class JsonKind { string, number, boolean, null, array, object };

struct JsonValue {
  JsonKind kind = JsonKind::null;
  std::string text;              // string: unescaped; number, boolean: as written; array, object: the source text
  std::vector<JsonValue> items;  // of an array
  int column = 0;                // from 1
};

struct JsonMember {
  std::string key;
  JsonValue value;
  int column = 0;  // of the key
};

struct JsonLine {
  std::vector<JsonMember> members;  // in the order of the line
  SourceLocation where;             // of the line
  std::string source;               // the line

  const JsonValue* find(std::string_view key) const;
  // An error that points at `column` of this line.
  Diagnostic diagnostic(int column, std::string message, std::string hint = {}) const;
};

// Throws InputError. `where.column` is ignored.
JsonLine parse_json_line(std::string_view line, const SourceLocation& where);

// 0 or no text where the line has no such number or string.
double number_of(const JsonLine& line, std::string_view key);
std::string text_of(const JsonLine& line, std::string_view key);

// "text" with quotes and escapes.
std::string json_quoted(std::string_view text);

}  // namespace trillion
