// How text for people is laid out: how wide, with colour or without, with Unicode's bars or plain ASCII.
// The defaults are those of a report file: it must not depend on who wrote it.
#pragma once

#include <string>
#include <string_view>

namespace trillion {

struct TextStyle {
  int columns = 100;  // never exceeded, but by a single word that is longer
  bool colour = false;
  bool unicode = true;
};

// Ways to stress a word. Without colour they change nothing, so a page never relies on them.
enum class Emphasis { heading, faint, good, bad };

std::string emphasised(std::string_view text, Emphasis emphasis, const TextStyle& style);

// How many columns UTF-8 text takes on a terminal: one per code point (we print nothing wide or combining), none for colour.
int display_width(std::string_view text);

// `text` padded with spaces to `columns`; longer text stays as it is.
std::string padded_right(std::string_view text, int columns);
std::string padded_left(std::string_view text, int columns);

// `text` cut to `columns` with an ellipsis where something is cut.
std::string shortened(std::string_view text, int columns, const TextStyle& style);

// Words of `text` broken into lines of at most `style.columns`, each line after the first indented by `indent` columns;
// the first line starts as if `indent` columns were taken already. No newline at the end.
std::string wrapped(std::string_view text, int indent, const TextStyle& style);

}  // namespace trillion
