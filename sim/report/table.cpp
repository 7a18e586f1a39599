#include "sim/report/table.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "sim/base/error.h"

namespace trillion {
namespace {

constexpr int kGap = 2;
constexpr int kLeastShrunk = 12;  // a shrunk column keeps so much, even if the page then is too narrow

struct Shown {
  std::size_t column = 0;
  int width = 0;
};

int total_width(const std::vector<Shown>& shown) {
  int total = 0;
  for (const Shown& s : shown) total += s.width + kGap;
  return std::max(0, total - kGap);
}

std::string cell_text(const std::string& cell, const Column& column, int width, const TextStyle& style) {
  const std::string text = shortened(cell, width, style);
  return column.align == Align::left ? padded_right(text, width) : padded_left(text, width);
}

std::string line_text(const std::vector<std::string>& cells, const std::vector<Column>& columns, const std::vector<Shown>& shown,
                      const TextStyle& style) {
  std::string line;
  for (const Shown& s : shown) {
    if (!line.empty()) line.append(kGap, ' ');
    line += cell_text(cells[s.column], columns[s.column], s.width, style);
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

}  // namespace

void Table::add_row(std::vector<std::string> cells) {
  CHECK(cells.size() == columns_.size(), "one cell per column");
  rows_.push_back(std::move(cells));
}

std::string Table::to_text(int indent, const TextStyle& style) const {
  std::vector<Shown> shown;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    int width = display_width(columns_[c].title);
    for (const auto& row : rows_) width = std::max(width, display_width(row[c]));
    shown.push_back({c, width});
  }
  const int room = style.columns - indent;
  // The last column first: sources and notes stand there, names to the left of them.
  for (auto s = shown.rbegin(); s != shown.rend(); ++s) {
    if (columns_[s->column].fit != Fit::shrink) continue;
    const int excess = total_width(shown) - room;
    if (excess > 0) s->width = std::max(std::min(s->width, kLeastShrunk), s->width - excess);
  }
  for (std::size_t i = shown.size(); i-- > 0 && total_width(shown) > room;) {
    if (columns_[shown[i].column].fit == Fit::drop) shown.erase(shown.begin() + static_cast<std::ptrdiff_t>(i));
  }

  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  const std::string margin(static_cast<std::size_t>(indent), ' ');
  std::string text = margin + emphasised(line_text(titles, columns_, shown, style), Emphasis::faint, style) + "\n";
  for (const auto& row : rows_) text += margin + line_text(row, columns_, shown, style) + "\n";
  return text;
}

}  // namespace trillion
