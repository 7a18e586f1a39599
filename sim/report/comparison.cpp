#include "sim/report/comparison.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "sim/base/error.h"
#include "sim/base/number_text.h"
#include "sim/report/figure_text.h"
#include "sim/report/table.h"

namespace trillion {
namespace {

bool is_about_the_plan(const std::string& path, ComparedRows rows) {
  if (path.rfind("simulation.", 0) == 0 || path == "schema" || path == "question") return false;
  if (rows == ComparedRows::all) return true;
  for (const char* list :
       {"origins.", "assumptions.", "defaults.", "overrides.", "memory.stages.", "run.phases.", "plan.layers_per_stage."}) {
    if (path.rfind(list, 0) == 0) return false;
  }
  return true;
}

bool same(const ReportFigure* a, const ReportFigure* b) {
  if (a == nullptr || b == nullptr) return a == b;
  return a->is_number == b->is_number && a->number == b->number && a->text == b->text;
}

std::string cell(const std::string& path, const ReportFigure* value) {
  if (value == nullptr) return "-";
  return value->is_number ? figure_text(path, value->number) : value->text;
}

std::string cell_against(const std::string& path, const ReportFigure* value, const ReportFigure* base) {
  std::string text = cell(path, value);
  if (value == nullptr || base == nullptr || !value->is_number || !base->is_number || base->number == 0 || same(value, base)) return text;
  return text + " (" + signed_percent_text(value->number / base->number - 1) + ")";
}

// Every path of any report, those of the base first.
std::vector<std::string> paths_of(const std::vector<NamedReport>& reports, ComparedRows rows) {
  std::vector<std::string> paths;
  for (const NamedReport& report : reports) {
    for (const ReportFigure& f : report.figures) {
      if (!is_about_the_plan(f.path, rows) || (&report != &reports.front() && figure(reports.front().figures, f.path) != nullptr)) continue;
      if (std::find(paths.begin(), paths.end(), f.path) == paths.end()) paths.push_back(f.path);
    }
  }
  return paths;
}

// The fullest rank stands for the table of ranks.
void add_peak_memory(std::vector<ReportFigure>& figures) {
  constexpr std::string_view kEnd = ".peak_bytes";
  ReportFigure peak{"memory.peak_bytes", true, 0, {}};
  for (const ReportFigure& f : figures) {
    if (f.path.rfind("memory.stages.", 0) == 0 && f.path.size() > kEnd.size() && f.path.substr(f.path.size() - kEnd.size()) == kEnd) {
      peak.number = std::max(peak.number, f.number);
    }
  }
  const auto fits = std::find_if(figures.begin(), figures.end(), [](const ReportFigure& f) { return f.path == "memory.fits"; });
  if (fits != figures.end()) figures.insert(fits + 1, peak);
}

std::string block_text(const std::vector<const NamedReport*>& block, const std::vector<std::string>& paths, const TextStyle& style) {
  std::vector<Column> columns = {{"", Align::left, Fit::keep}};
  for (const NamedReport* report : block) columns.push_back({report->name, Align::right, Fit::keep});
  Table table(columns);
  for (const std::string& path : paths) {
    const ReportFigure* base = figure(block.front()->figures, path);
    std::vector<std::string> cells = {path};
    for (const NamedReport* report : block) {
      const ReportFigure* value = figure(report->figures, path);
      cells.push_back(report == block.front() ? cell(path, value) : cell_against(path, value, base));
    }
    for (std::size_t i = 1; i < cells.size(); ++i) cells[i] = shortened(cells[i], 36, style);
    table.add_row(cells);
  }
  return table.to_text(0, style);
}

}  // namespace

std::string comparison_page(const std::vector<NamedReport>& given, ComparedRows rows, const TextStyle& style) {
  CHECK(!given.empty());
  std::vector<NamedReport> reports = given;
  for (NamedReport& report : reports) add_peak_memory(report.figures);
  std::vector<std::string> paths = paths_of(reports, rows);
  if (rows == ComparedRows::differing) {
    paths.erase(std::remove_if(paths.begin(), paths.end(),
                               [&](const std::string& path) {
                                 const ReportFigure* base = figure(reports.front().figures, path);
                                 return std::all_of(reports.begin(), reports.end(),
                                                    [&](const NamedReport& r) { return same(base, figure(r.figures, path)); });
                               }),
                paths.end());
  }
  if (paths.empty()) return "no difference\n";

  constexpr std::size_t kBeside = 2;  // reports beside the base: names, figures and differences fit 100 columns
  std::string text;
  for (std::size_t first = 1; first < std::max<std::size_t>(reports.size(), 2); first += kBeside) {
    std::vector<const NamedReport*> block = {&reports.front()};
    for (std::size_t i = first; i < std::min(first + kBeside, reports.size()); ++i) block.push_back(&reports[i]);
    text += (text.empty() ? "" : "\n") + block_text(block, paths, style);
  }
  return text;
}

}  // namespace trillion
