#include "sim/report/text_style.h"

#include <algorithm>

namespace trillion {
namespace {

bool is_continuation_byte(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

// Bytes of the first `columns` code points.
std::size_t bytes_of_columns(std::string_view text, int columns) {
  std::size_t bytes = 0;
  for (int i = 0; i < columns && bytes < text.size(); ++i) {
    ++bytes;
    while (bytes < text.size() && is_continuation_byte(text[bytes])) ++bytes;
  }
  return bytes;
}

std::string spaces(int count) { return std::string(static_cast<std::size_t>(std::max(count, 0)), ' '); }

}  // namespace

std::string emphasised(std::string_view text, Emphasis emphasis, const TextStyle& style) {
  if (!style.colour) return std::string(text);
  const char* code = "";
  switch (emphasis) {
    case Emphasis::heading: code = "\x1b[1m"; break;
    case Emphasis::faint: code = "\x1b[2m"; break;
    case Emphasis::good: code = "\x1b[32m"; break;
    case Emphasis::bad: code = "\x1b[31m"; break;
  }
  return code + std::string(text) + "\x1b[0m";
}

int display_width(std::string_view text) {
  int width = 0;
  bool in_escape = false;
  for (const char c : text) {
    if (c == '\x1b') in_escape = true;
    if (!in_escape && !is_continuation_byte(c)) ++width;
    if (in_escape && c == 'm') in_escape = false;
  }
  return width;
}

std::string padded_right(std::string_view text, int columns) { return std::string(text) + spaces(columns - display_width(text)); }

std::string padded_left(std::string_view text, int columns) { return spaces(columns - display_width(text)) + std::string(text); }

std::string shortened(std::string_view text, int columns, const TextStyle& style) {
  if (display_width(text) <= columns) return std::string(text);
  const std::string_view mark = style.unicode ? "…" : "...";
  const int kept = columns - display_width(mark);
  if (kept <= 0) return std::string(text.substr(0, bytes_of_columns(text, columns)));
  std::string cut(text.substr(0, bytes_of_columns(text, kept)));
  while (!cut.empty() && cut.back() == ' ') cut.pop_back();
  return cut.append(mark);
}

std::string wrapped(std::string_view text, int indent, const TextStyle& style) {
  std::string result;
  int column = indent;
  bool line_is_empty = true;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    begin = end + 1;
    if (word.empty()) continue;
    const int width = display_width(word);
    if (!line_is_empty && column + 1 + width > style.columns) {
      result += "\n" + spaces(indent);
      column = indent;
      line_is_empty = true;
    }
    if (!line_is_empty) {
      result += ' ';
      ++column;
    }
    result += word;
    column += width;
    line_is_empty = false;
  }
  return result;
}

}  // namespace trillion
