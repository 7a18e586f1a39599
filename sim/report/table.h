// Columns of text under titles, as wide as they must be and never wider than the page.
//
//   Table table({{"rank", Align::right}, {"source", Align::left, Fit::shrink}});
//   table.add_row({"0", "DeepSeek's published training trace"});
//   table.to_text(2, style);
#pragma once

#include <string>
#include <vector>

#include "sim/report/text_style.h"

namespace trillion {

enum class Align { left, right };

// What happens to a column when the table is wider than the page.
enum class Fit {
  keep,    // nothing
  shrink,  // its text is cut with an ellipsis
  drop,    // it is left out, the rightmost such column first
};

struct Column {
  std::string title;
  Align align = Align::right;
  Fit fit = Fit::keep;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // REQUIRES: one cell per column.
  void add_row(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }

  // Title line and rows, each indented by `indent` columns and ended by a newline. Columns are two apart.
  std::string to_text(int indent, const TextStyle& style) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace trillion
