// A table: columns under titles, as wide as their widest cell, cut or left out when the page is too narrow.
#include "sim/report/table.h"

#include <gtest/gtest.h>

#include <sstream>

#include "sim/base/error.h"

namespace trillion::table_test {
namespace {

TextStyle page(int columns) { return {columns, false, true}; }

Table example() {
  Table table({{"rank", Align::right}, {"source", Align::left, Fit::shrink}, {"note", Align::left, Fit::drop}, {"free", Align::right}});
  table.add_row({"0", "a training trace of many kernels", "first", "1.5"});
  table.add_row({"10", "a datasheet", "second", "17.0"});
  return table;
}

TEST(Table, AlignsUnderTitles) {
  EXPECT_EQ(example().to_text(2, page(100)),
            "  rank  source                            note    free\n"
            "     0  a training trace of many kernels  first    1.5\n"
            "    10  a datasheet                       second  17.0\n");
}

TEST(Table, ShrinksFirstAndDropsThen) {
  EXPECT_EQ(example().to_text(0, page(40)),
            "rank  source                note    free\n"
            "   0  a training trace of…  first    1.5\n"
            "  10  a datasheet           second  17.0\n");
  EXPECT_EQ(example().to_text(0, page(25)),
            "rank  source        free\n"
            "   0  a training…    1.5\n"
            "  10  a datasheet   17.0\n");
}

TEST(Table, IsNeverWiderThanThePageWhileItCanShrink) {
  for (int columns = 24; columns < 70; ++columns) {
    std::istringstream lines(example().to_text(0, page(columns)));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), columns) << line;
  }
}

TEST(Table, ARowWithTooFewCellsIsOurBug) {
  Table table({{"a"}, {"b"}});
  EXPECT_THROW(table.add_row({"1"}), InternalError);
}

}  // namespace
}  // namespace trillion::table_test
