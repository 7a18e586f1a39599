#include "calibration/fit/gemm_csv.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "sim/base/closest_word.h"
#include "sim/spec/unit_text.h"

namespace trillion {
namespace {

const std::vector<std::string> kColumns = {"m", "n", "k", "dtype_a", "dtype_out", "layout", "time_us", "sm_clock_mhz"};
const std::vector<std::string> kRequired = {"m", "n", "k", "dtype_a", "layout", "time_us"};

std::string trimmed(const std::string& text) {
  const auto start = text.find_first_not_of(" \t\r\""), end = text.find_last_not_of(" \t\r\"");
  return start == std::string::npos ? std::string() : text.substr(start, end - start + 1);
}

struct CsvCell {
  std::string text;
  int column = 0;  // of the file
};

std::vector<CsvCell> cells_of(const std::string& line) {
  std::vector<CsvCell> cells;
  for (std::size_t start = 0; start <= line.size();) {
    const std::size_t end = std::min(line.find(',', start), line.size());
    cells.push_back({trimmed(line.substr(start, end - start)), static_cast<int>(start) + 1});
    start = end + 1;
  }
  return cells;
}

struct Line {
  std::string file, text;
  int number = 0;

  [[noreturn]] void fail(int column, const std::string& message, const std::string& hint = {}) const {
    throw InputError(Diagnostic{{file, number, column}, message, text, hint});
  }
};

using Columns = std::map<std::string, std::size_t>;

Columns read_header(const Line& line) {
  Columns columns;
  const auto cells = cells_of(line.text);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (std::find(kColumns.begin(), kColumns.end(), cells[i].text) == kColumns.end()) {
      const auto close = closest_word(cells[i].text, kColumns);
      line.fail(cells[i].column, "unknown column '" + cells[i].text + "'", close ? "did you mean '" + *close + "'?" : "");
    }
    if (!columns.emplace(cells[i].text, i).second) line.fail(cells[i].column, "column '" + cells[i].text + "' appears twice");
  }
  for (const auto& name : kRequired) {
    if (columns.find(name) == columns.end()) line.fail(1, "column '" + name + "' is missing");
  }
  return columns;
}

// The named cells of one row.
class Row {
 public:
  Row(const Line& line, const Columns& columns) : line_(line), columns_(columns), cells_(cells_of(line.text)) {
    if (cells_.size() != columns.size()) {
      line.fail(1, "expected " + std::to_string(columns.size()) + " cells, found " + std::to_string(cells_.size()));
    }
  }
  bool has(const char* name) const { return columns_.count(name) > 0; }
  const CsvCell& cell(const char* name) const { return cells_[columns_.at(name)]; }
  double positive(const char* name) const {
    const ParsedNumber parsed = parse_number(cell(name).text);
    if (!parsed.ok() || !(parsed.value > 0)) line_.fail(cell(name).column, std::string(name) + " must be a positive number");
    return parsed.value;
  }
  std::int64_t count(const char* name) const {
    const double value = positive(name);
    if (value != std::floor(value) || value > 1e15) line_.fail(cell(name).column, std::string(name) + " must be a whole number");
    return static_cast<std::int64_t>(value);
  }
  template <class Value>
  Value choice(const char* name, const std::vector<std::pair<const char*, Value>>& accepted) const {
    std::string list;
    for (const auto& [text, value] : accepted) {
      if (cell(name).text == text) return value;
      list += (list.empty() ? "" : ", ") + std::string(text);
    }
    line_.fail(cell(name).column, std::string(name) + " '" + cell(name).text + "' is not one of " + list);
  }

 private:
  const Line& line_;
  const Columns& columns_;
  std::vector<CsvCell> cells_;
};

Gemm read_gemm(const Row& row) {
  Gemm gemm;
  gemm.m = row.count("m");
  gemm.n = row.count("n");
  gemm.k = row.count("k");
  gemm.dtype = row.choice<DType>("dtype_a", {{"bf16", DType::bf16},
                                             {"bfloat16", DType::bf16},
                                             {"fp16", DType::bf16},
                                             {"float16", DType::bf16},
                                             {"half", DType::bf16},
                                             {"fp8", DType::fp8},
                                             {"fp8_e4m3", DType::fp8},
                                             {"e4m3", DType::fp8},
                                             {"fp8_block", DType::fp8_block},
                                             {"fp32", DType::fp32},
                                             {"float32", DType::fp32}});
  gemm.layout = row.choice<GemmLayout>("layout", {{"forward", GemmLayout::forward},
                                                  {"TN", GemmLayout::forward},
                                                  {"input_gradient", GemmLayout::input_gradient},
                                                  {"NN", GemmLayout::input_gradient},
                                                  {"weight_gradient", GemmLayout::weight_gradient},
                                                  {"NT", GemmLayout::weight_gradient}});
  if (row.has("dtype_out") && gemm.layout == GemmLayout::weight_gradient) {
    gemm.accumulate_fp32 = row.cell("dtype_out").text == "fp32" || row.cell("dtype_out").text == "float32";
  }
  return gemm;
}

// "# key: value" -> value, when the line is about that key.
bool comment_value(const std::string& line, const std::string& key, std::string& value) {
  const auto at = line.find(key + ":");
  if (at == std::string::npos) return false;
  value = trimmed(line.substr(at + key.size() + 1));
  return true;
}

void read_comment(const Line& line, RawFile& file, Load& load) {
  std::string value;
  comment_value(line.text, "gpu", file.gpu);
  comment_value(line.text, "software", file.software);
  comment_value(line.text, "source", file.provenance.source);
  if (!comment_value(line.text, "load", value)) return;
  if (value != "burst" && value != "sustained") line.fail(1, "load must be burst or sustained");
  load = value == "burst" ? Load::burst : Load::sustained;
}

}  // namespace

bool looks_like_gemm_csv(const std::string& text) {
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const std::string content = trimmed(line);
    if (content.empty() || content.front() == '#') continue;
    return content.find("time_us") != std::string::npos && content.find(',') != std::string::npos;
  }
  return false;
}

RawFile parse_gemm_csv(const std::string& text, const std::string& name) {
  RawFile file;
  file.name = name;
  file.provenance = {Origin::measured, "GEMM timings, " + name.substr(name.find_last_of('/') + 1)};
  Load load = Load::burst;
  Columns columns;
  Diagnostics diagnostics;
  std::istringstream in(text);
  Line line{name, {}, 0};
  while (std::getline(in, line.text)) {
    ++line.number;
    const std::string content = trimmed(line.text);
    if (content.empty()) continue;
    if (content.front() == '#') {
      read_comment(line, file, load);
    } else if (columns.empty()) {
      columns = read_header(line);
    } else {
      try {
        const Row cells(line, columns);
        file.rows.push_back({{read_gemm(cells), 0, load}, Seconds{cells.positive("time_us") * 1e-6}, file.provenance, {}});
      } catch (const InputError& error) {
        diagnostics.add(error);
      }
    }
  }
  diagnostics.throw_if_any();
  return file;
}

}  // namespace trillion
