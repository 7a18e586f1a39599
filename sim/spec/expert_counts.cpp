#include "sim/spec/expert_counts.h"

#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "sim/base/error.h"
#include "sim/spec/yaml_reader.h"

namespace trillion {

namespace {

struct TextCell {
  std::string_view text;
  int column = 1;  // from 1
};

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::vector<TextCell> cells_of(std::string_view line) {
  std::vector<TextCell> cells;
  for (std::size_t at = 0; at <= line.size();) {
    const std::size_t end = std::min(line.find(',', at), line.size());
    const std::string_view text = trimmed(line.substr(at, end - at));
    cells.push_back({text, static_cast<int>((text.empty() ? at : static_cast<std::size_t>(text.data() - line.data())) + 1)});
    at = end + 1;
  }
  return cells;
}

class CsvParser {
 public:
  CsvParser(const std::string& text, std::string name) : text_(text), name_(std::move(name)) {}

  std::vector<ExpertCount> parse() {
    std::vector<ExpertCount> rows;
    std::set<std::pair<std::int64_t, std::int64_t>> seen;
    std::istringstream lines(text_);
    while (std::getline(lines, line_)) {
      ++number_;
      if (trimmed(line_).empty() || trimmed(line_).front() == '#') continue;
      const std::vector<TextCell> cells = cells_of(line_);
      if (!header_read_) {
        read_header(cells);
        continue;
      }
      if (cells.size() < columns_)
        fail(1, "a row of " + std::to_string(cells.size()) + " values under " + std::to_string(columns_) + " titles");
      const ExpertCount row{integer(cells[place_[0]]), integer(cells[place_[1]]), count(cells[place_[2]])};
      if (!seen.insert({row.layer, row.expert}).second)
        fail(1, "layer " + std::to_string(row.layer) + ", expert " + std::to_string(row.expert) + " a second time");
      rows.push_back(row);
    }
    if (rows.empty())
      throw InputError(Diagnostic{{name_, number_, 1}, "no rows of expert loads", {}, "a header 'layer,expert,count', then rows"});
    return rows;
  }

 private:
  [[noreturn]] void fail(int column, const std::string& message, const std::string& hint = {}) const {
    throw InputError(Diagnostic{{name_, number_, column}, message, line_, hint});
  }

  void read_header(const std::vector<TextCell>& cells) {
    static constexpr std::array<std::string_view, 3> kTitles = {"layer", "expert", "count"};
    for (std::size_t t = 0; t < kTitles.size(); ++t) {
      std::optional<std::size_t> found;
      for (std::size_t i = 0; i < cells.size(); ++i) {
        if (cells[i].text == kTitles[t]) found = i;
      }
      if (!found) fail(1, "no column '" + std::string(kTitles[t]) + "'", "the first line names the columns: layer,expert,count");
      place_[t] = *found;
    }
    columns_ = cells.size();
    header_read_ = true;
  }

  template <class Number>
  Number number(const TextCell& cell, const char* what) const {
    Number value{};
    const auto [end, error] = std::from_chars(cell.text.data(), cell.text.data() + cell.text.size(), value);
    if (error != std::errc{} || end != cell.text.data() + cell.text.size())
      fail(cell.column, "'" + std::string(cell.text) + "' is not " + what);
    return value;
  }
  std::int64_t integer(const TextCell& cell) const {
    const auto value = number<std::int64_t>(cell, "an integer");
    if (value < 0) fail(cell.column, "must not be negative");
    return value;
  }
  double count(const TextCell& cell) const {
    const auto value = number<double>(cell, "a number");
    if (!std::isfinite(value) || value < 0) fail(cell.column, "a count must be finite and not negative");
    return value;
  }

  const std::string& text_;
  std::string name_, line_;
  int number_ = 0;
  bool header_read_ = false;
  std::size_t columns_ = 0;
  std::array<std::size_t, 3> place_{};
};

std::vector<ExpertCount> read_json(const std::string& path) {
  Diagnostics diagnostics;
  YamlReader root = YamlReader::open(YamlDocument::from_file(path), diagnostics);
  std::vector<ExpertCount> rows;
  for (YamlReader& r : root.mappings("loads")) {
    const ExpertCount row{r.integer("layer"), r.integer("expert"), r.number("count")};
    if (row.layer < 0) r.problem("layer", "must not be negative");
    if (row.expert < 0) r.problem("expert", "must not be negative");
    if (!(row.count >= 0)) r.problem("count", "must not be negative");
    rows.push_back(row);
  }
  if (rows.empty() && diagnostics.empty()) root.problem("loads", "lists no expert");
  root.finish();
  diagnostics.throw_if_any();
  return rows;
}

}  // namespace

std::vector<ExpertCount> parse_expert_counts_csv(const std::string& text, const std::string& name) { return CsvParser(text, name).parse(); }

std::vector<ExpertCount> load_expert_counts(const std::string& path) {
  if (std::filesystem::path(path).extension() == ".json") return read_json(path);
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.good() && !file.eof()) throw InputError(path + ": cannot be read");
  return parse_expert_counts_csv(text, path);
}

}  // namespace trillion
