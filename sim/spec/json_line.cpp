#include "sim/spec/json_line.h"

#include <algorithm>

#include "sim/spec/unit_text.h"

namespace trillion {
namespace {

constexpr int kDeepest = 32;  // nesting; shapes need 2

class Parser {
 public:
  Parser(std::string_view text, JsonLine& line) : text_(text), line_(line) {}

  void parse() {
    skip_space();
    object_members(line_.members, 0);
    skip_space();
    if (at_ < text_.size()) fail("nothing may follow the object");
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { throw InputError(line_.diagnostic(column(), message)); }
  int column() const { return static_cast<int>(at_) + 1; }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r' || text_[at_] == '\n')) ++at_;
  }
  void expect(char c) {
    if (peek() != c) fail(std::string("expected '") + c + "'" + (at_ < text_.size() ? std::string() : ", but the line ends here"));
    ++at_;
  }
  // After an element: true if another one follows, false at the closing character.
  bool more(char close) {
    skip_space();
    if (peek() == ',') return ++at_, true;
    expect(close);
    return false;
  }

  void object_members(std::vector<JsonMember>& members, int depth) {
    expect('{');
    skip_space();
    if (peek() == '}') {
      ++at_;
      return;
    }
    do {
      skip_space();
      JsonMember member;
      member.column = column();
      member.key = string();
      const bool seen = std::any_of(members.begin(), members.end(), [&](const JsonMember& m) { return m.key == member.key; });
      if (seen) throw InputError(line_.diagnostic(member.column, "duplicate key '" + member.key + "'"));
      skip_space();
      expect(':');
      member.value = value(depth);
      members.push_back(std::move(member));
    } while (more('}'));
  }

  JsonValue value(int depth) {
    if (depth > kDeepest) fail("nested too deeply");
    skip_space();
    JsonValue result;
    result.column = column();
    const std::size_t start = at_;
    switch (peek()) {
      case '"':
        result.kind = JsonKind::string;
        result.text = string();
        return result;
      case '[':
        result.kind = JsonKind::array;
        items(result.items, depth + 1);
        break;
      case '{': {
        result.kind = JsonKind::object;
        std::vector<JsonMember> ignored;
        object_members(ignored, depth + 1);
        break;
      }
      default: return scalar();
    }
    result.text = text_.substr(start, at_ - start);
    return result;
  }

  void items(std::vector<JsonValue>& values, int depth) {
    expect('[');
    skip_space();
    if (peek() == ']') {
      ++at_;
      return;
    }
    do values.push_back(value(depth));
    while (more(']'));
  }

  JsonValue scalar() {
    JsonValue result;
    result.column = column();
    const std::size_t start = at_;
    while (at_ < text_.size() && std::string_view(",]} \t\r\n").find(text_[at_]) == std::string_view::npos) ++at_;
    result.text = text_.substr(start, at_ - start);
    if (result.text == "true" || result.text == "false") {
      result.kind = JsonKind::boolean;
    } else if (result.text == "null") {
      result.kind = JsonKind::null;
    } else {
      result.kind = JsonKind::number;
      const ParsedNumber number = parse_number(result.text);
      if (!number.ok()) {
        at_ = start;
        fail("'" + result.text + "' is not a JSON value");
      }
    }
    return result;
  }

  std::string string() {
    if (peek() != '"') fail("expected a string in double quotes");
    ++at_;
    std::string result;
    while (peek() != '"') {
      if (at_ >= text_.size()) fail("the string does not end");
      if (static_cast<unsigned char>(peek()) < 0x20) fail("a control character must be escaped");
      if (peek() == '\\') {
        ++at_;
        escape(result);
      } else {
        result += text_[at_++];
      }
    }
    ++at_;
    return result;
  }

  void escape(std::string& result) {
    constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
    if (peek() == 'u') {
      unsigned code = 0;
      for (int i = 0; i < 4; ++i) {
        ++at_;
        const char c = peek();
        const auto digit = std::string_view("0123456789abcdef").find(c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c);
        if (c == '\0' || digit == std::string_view::npos) fail("\\u needs four hexadecimal digits");
        code = code * 16 + static_cast<unsigned>(digit);
      }
      ++at_;
      append_utf8(result, code);
      return;
    }
    const auto place = kNames.find(peek());
    if (at_ >= text_.size() || place == std::string_view::npos) fail("unknown escape");
    result += kValues[place];
    ++at_;
  }

  // Surrogate halves are kept as they come: no key or value that matters contains any.
  static void append_utf8(std::string& out, unsigned code) {
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | (code >> 6));
      out += static_cast<char>(0x80 | (code & 0x3F));
    } else {
      out += static_cast<char>(0xE0 | (code >> 12));
      out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
      out += static_cast<char>(0x80 | (code & 0x3F));
    }
  }

  std::string_view text_;
  JsonLine& line_;
  std::size_t at_ = 0;
};

}  // namespace

const JsonValue* JsonLine::find(std::string_view key) const {
  for (const auto& member : members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

Diagnostic JsonLine::diagnostic(int column, std::string message, std::string hint) const {
  return {{where.file, where.line, column}, std::move(message), source, std::move(hint)};
}

JsonLine parse_json_line(std::string_view text, const SourceLocation& where) {
  JsonLine line;
  line.where = where;
  line.source = std::string(text);
  Parser(text, line).parse();
  return line;
}

double number_of(const JsonLine& line, std::string_view key) {
  const JsonValue* value = line.find(key);
  return value != nullptr && value->kind == JsonKind::number ? parse_number(value->text).value : 0.0;
}

std::string text_of(const JsonLine& line, std::string_view key) {
  const JsonValue* value = line.find(key);
  return value != nullptr && value->kind == JsonKind::string ? value->text : std::string();
}

std::string json_quoted(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20) {
      result += "\\u00";
      result += kHex[byte >> 4];
      result += kHex[byte & 15];
    } else {
      result += c;
    }
  }
  return result + '"';
}

}  // namespace trillion
