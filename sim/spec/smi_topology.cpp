#include "sim/spec/smi_topology.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "sim/base/error.h"

namespace trillion {

namespace {

struct Cell {
  std::string text;
  int column = 1;
};

struct Line {
  std::string text;  // as written
  int number = 1;
  std::vector<Cell> cells;
};

// Blanks apart; what a terminal's escape sequence draws is nothing.
std::vector<Cell> cells_of(const std::string& line) {
  std::vector<Cell> cells;
  bool in_cell = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\x1b') {
      while (i < line.size() && std::isalpha(static_cast<unsigned char>(line[i])) == 0) ++i;
      continue;
    }
    const bool blank = std::isspace(static_cast<unsigned char>(line[i])) != 0;
    if (!blank && !in_cell) cells.push_back({{}, static_cast<int>(i) + 1});
    if (!blank) cells.back().text += line[i];
    in_cell = !blank;
  }
  return cells;
}

std::vector<Line> lines_of(const std::string& text) {
  std::vector<Line> lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    lines.push_back({line, static_cast<int>(lines.size()) + 1, cells_of(line)});
    begin = end + 1;
  }
  return lines;
}

bool is_gpu(std::string_view name) {
  return name.size() > 3 && name.substr(0, 3) == "GPU" &&
         std::all_of(name.begin() + 3, name.end(), [](unsigned char c) { return std::isdigit(c); });
}

// The header names what has a column, up to "CPU Affinity".
bool is_header(const Line& line) {
  return line.cells.size() >= 1 && is_gpu(line.cells[0].text) &&
         (line.cells.size() == 1 || is_gpu(line.cells[1].text) || line.cells[1].text == "CPU" || line.cells[1].text == "NIC0" ||
          line.cells[1].text.rfind("mlx", 0) == 0);
}

std::vector<std::string> columns_of(const Line& header) {
  std::vector<std::string> names;
  for (const Cell& cell : header.cells) {
    if (cell.text == "CPU") break;
    names.push_back(cell.text);
  }
  return names;
}

constexpr std::array<std::string_view, 6> kWays = {"X", "PIX", "PXB", "PHB", "NODE", "SYS"};
constexpr std::int64_t kMostNvlinks = 18;  // of any chip so far

class SmiTopology {
 public:
  SmiTopology(const std::string& text, const std::string& path) : path_(path), lines_(lines_of(text)) {}

  NodeFacts facts() {
    read_rows();
    NodeFacts facts;
    facts.gpus_per_node = static_cast<std::int64_t>(gpus_.size());
    read_nvlinks(facts);
    read_nics(facts);
    return facts;
  }

 private:
  struct Row {
    const Line* line = nullptr;
    std::string name;
    std::map<std::string, std::string> to;  // cells by column name
  };

  [[noreturn]] void fail(const Line& line, int column, const std::string& message, const std::string& hint) const {
    throw InputError(Diagnostic{{path_, line.number, column}, message, line.text, hint});
  }

  static std::optional<std::int64_t> nvlinks(const std::string& cell) {
    if (cell.rfind("NV", 0) != 0) return std::nullopt;
    std::int64_t count = 0;
    const auto [end, error] = std::from_chars(cell.data() + 2, cell.data() + cell.size(), count);
    if (error != std::errc{} || end != cell.data() + cell.size()) return std::nullopt;
    return count;
  }

  void read_rows() {
    const auto header = std::find_if(lines_.begin(), lines_.end(), is_header);
    columns_ = columns_of(*header);
    for (auto line = header + 1; line != lines_.end() && !line->cells.empty(); ++line) {
      Row row{&*line, line->cells[0].text, {}};
      if (std::find(columns_.begin(), columns_.end(), row.name) == columns_.end()) break;  // a legend without a blank line
      if (line->cells.size() < columns_.size() + 1) {
        fail(*line, static_cast<int>(line->text.size()) + 1,
             row.name + " has " + std::to_string(line->cells.size() - 1) + " cells for " + std::to_string(columns_.size()) + " columns",
             {});
      }
      for (std::size_t c = 0; c < columns_.size(); ++c) {
        const Cell& cell = line->cells[c + 1];
        const bool known = std::find(kWays.begin(), kWays.end(), cell.text) != kWays.end() || nvlinks(cell.text);
        if (!known)
          fail(*line, cell.column, "'" + cell.text + "' is no way between two devices; there are NV#, PIX, PXB, PHB, NODE, SYS and X", {});
        row.to[columns_[c]] = cell.text;
      }
      (is_gpu(row.name) ? gpus_ : nics_).push_back(std::move(row));
    }
    if (gpus_.empty()) fail(*header, 1, "there is no row of a GPU below the header", {});
    for (const Cell& cell : header->cells) {
      const auto named = [&](const Row& row) { return row.name == cell.text; };
      if (is_gpu(cell.text) && std::none_of(gpus_.begin(), gpus_.end(), named)) {
        fail(*header, cell.column, cell.text + " has a column and no row", "the matrix is cut off");
      }
    }
  }

  void read_nvlinks(NodeFacts& facts) const {
    for (const Row& gpu : gpus_) {
      std::int64_t sum = 0, most = 0, peers = 0;
      for (const Row& other : gpus_) {
        const std::int64_t links = nvlinks(gpu.to.at(other.name)).value_or(0);
        sum += links;
        most = std::max(most, links);
        peers += links > 0 ? 1 : 0;
      }
      const std::int64_t own = sum > kMostNvlinks ? most : sum;
      if (&gpu == &gpus_.front()) facts.nvlinks = own, facts.domain_gpus = peers + 1;
      if (own != facts.nvlinks) {
        fail(*gpu.line, gpu.line->cells[0].column,
             gpu.name + " has " + std::to_string(own) + " NVLinks, " + gpus_.front().name + " has " + std::to_string(facts.nvlinks),
             "a link may be down; trillion's nodes are all alike");
      }
    }
  }

  void read_nics(NodeFacts& facts) const {
    const auto near = [&](const Row& nic) {
      return std::any_of(gpus_.begin(), gpus_.end(),
                         [&](const Row& gpu) { return nic.to.at(gpu.name) == "PIX" || nic.to.at(gpu.name) == "PXB"; });
    };
    const bool some_near = std::any_of(nics_.begin(), nics_.end(), near);
    for (const Row& nic : nics_) {
      if (!some_near || near(nic)) {
        ++facts.nics_per_node;
      } else {
        facts.left_out.push_back(nic.name + ", which shares a PCIe switch with no GPU");
      }
    }
  }

  const std::string& path_;
  std::vector<Line> lines_;
  std::vector<std::string> columns_;
  std::vector<Row> gpus_, nics_;
};

}  // namespace

bool looks_like_smi_topology(const std::string& text) {
  const std::vector<Line> lines = lines_of(text.substr(0, 1 << 16));
  return std::any_of(lines.begin(), lines.end(), is_header);
}

NodeFacts read_smi_topology(const std::string& text, const std::string& path) { return SmiTopology(text, path).facts(); }

}  // namespace trillion
