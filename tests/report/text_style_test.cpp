// Text on a page: widths are counted in columns, not bytes; nothing is wider than asked but a single word.
#include "sim/report/text_style.h"

#include <gtest/gtest.h>

#include <sstream>

namespace trillion::text_style_test {
namespace {

TextStyle style(int columns, bool unicode = true) { return {columns, false, unicode}; }

TEST(TextStyle, WidthIsInColumns) {
  EXPECT_EQ(display_width(""), 0);
  EXPECT_EQ(display_width("abc"), 3);
  EXPECT_EQ(display_width("█▌·"), 3);
  EXPECT_EQ(display_width("\x1b[1mab\x1b[0m"), 2);
}

TEST(TextStyle, PaddingFillsToTheColumn) {
  EXPECT_EQ(padded_right("█", 3), "█  ");
  EXPECT_EQ(padded_left("█", 3), "  █");
  EXPECT_EQ(padded_left("long", 2), "long");
}

TEST(TextStyle, ShortenedSaysThatSomethingIsMissing) {
  EXPECT_EQ(shortened("abcdef", 6, style(80)), "abcdef");
  EXPECT_EQ(shortened("abcdef", 4, style(80)), "abc…");
  EXPECT_EQ(shortened("ab cdef", 4, style(80)), "ab…");
  EXPECT_EQ(shortened("abcdef", 5, style(80, false)), "ab...");
  EXPECT_EQ(shortened("abcdef", 2, style(80, false)), "ab");
}

TEST(TextStyle, WrappedLinesStayWithinThePage) {
  const std::string words = "the quick brown fox jumps over the lazy dog and then some more words follow";
  for (int columns = 12; columns < 60; ++columns) {
    std::istringstream lines(std::string(4, ' ') + wrapped(words, 4, style(columns)));
    std::string joined, line;
    while (std::getline(lines, line)) {
      EXPECT_LE(display_width(line), columns);
      EXPECT_EQ(line.substr(0, 4), "    ");
      joined += (joined.empty() ? "" : " ") + line.substr(4);
    }
    EXPECT_EQ(joined, words);
  }
}

TEST(TextStyle, ColourChangesTheStressAndNotTheText) {
  TextStyle coloured = style(80);
  coloured.colour = true;
  EXPECT_EQ(emphasised("fits", Emphasis::good, style(80)), "fits");
  EXPECT_EQ(emphasised("fits", Emphasis::good, coloured), "\x1b[32mfits\x1b[0m");
}

}  // namespace
}  // namespace trillion::text_style_test
