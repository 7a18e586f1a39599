#include "sim/report/comparison.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "sim/base/error.h"
#include "sim/base/number_text.h"
#include "sim/report/figure_text.h"
#include "sim/report/page_details.h"
#include "sim/report/table.h"

namespace trillion {
namespace {

constexpr std::size_t kBeside = 2;  // reports beside the base: names, figures and differences fit 100 columns
constexpr std::size_t kFigureColumns = 36;
constexpr double kTold = 0.002;    // of the base's cost: smaller causes share a line
constexpr double kNothing = 1e-7;  // rounding

using Reports = std::vector<const NamedReport*>;

std::string cell(const std::string& path, const ReportFigure* value) {
  if (value == nullptr) return "-";
  return value->is_number ? figure_text(path, value->number) : value->text;
}

std::string cell_against(const std::string& path, const ReportFigure* value, const ReportFigure* base) {
  std::string text = cell(path, value);
  const bool numbers = value != nullptr && base != nullptr && value->is_number && base->is_number;
  if (!numbers || base->number == 0 || same_figure(value, base)) return text;
  return text + " (" + signed_percent_text(value->number / base->number - 1) + ")";
}

Table table_of(const Reports& block, const std::string& first) {
  std::vector<Column> columns = {{first, Align::left, Fit::keep}};
  for (const NamedReport* report : block) columns.push_back({report->name, Align::right, Fit::keep});
  return Table(columns);
}

std::string figures_text(const Reports& block, const std::vector<std::string>& paths, const TextStyle& style) {
  Table table = table_of(block, "");
  for (const std::string& path : paths) {
    const ReportFigure* base = figure(block.front()->figures, path);
    std::vector<std::string> cells = {path};
    for (const NamedReport* report : block) {
      const ReportFigure* value = figure(report->figures, path);
      cells.push_back(report == block.front() ? cell(path, value) : cell_against(path, value, base));
    }
    for (std::size_t i = 1; i < cells.size(); ++i) cells[i] = shortened(cells[i], kFigureColumns, style);
    table.add_row(cells);
  }
  return table.to_text(0, style);
}

std::string signed_hours(double hours) { return (hours < 0 ? "-" : "+") + count_text(std::abs(hours)); }

// The causes of one report's cost, with the small ones gathered in the last.
struct Difference {
  std::string cause;
  double base = 0;
  std::vector<double> others;  // beside the base
  double largest() const {
    double most = 0;
    for (const double other : others) most = std::max(most, std::abs(other - base));
    return most;
  }
};

std::vector<Difference> differences(const std::vector<std::vector<CostPart>>& parts) {
  const std::vector<CostPart>& base = parts.front();
  const double whole = cost_of(base);
  std::vector<Difference> told;
  Difference rest{"everything else", 0, std::vector<double>(parts.size() - 1)};
  for (std::size_t i = 0; i < base.size(); ++i) {
    Difference d{base[i].name, base[i].gpu_hours, {}};
    for (std::size_t r = 1; r < parts.size(); ++r) d.others.push_back(parts[r][i].gpu_hours);
    if (d.largest() >= kTold * whole) {
      told.push_back(std::move(d));
      continue;
    }
    rest.base += d.base;
    for (std::size_t r = 0; r < d.others.size(); ++r) rest.others[r] += d.others[r];
  }
  std::stable_sort(told.begin(), told.end(), [](const Difference& a, const Difference& b) { return a.largest() > b.largest(); });
  told.push_back(std::move(rest));
  return told;
}

std::string causes_text(const Reports& block, const TextStyle& style) {
  std::vector<std::vector<CostPart>> parts;
  Reports priced;
  for (const NamedReport* report : block) {
    parts.push_back(cost_parts(report->figures));
    if (!parts.back().empty()) {
      priced.push_back(report);
    } else if (report == block.front()) {
      return {};
    } else {
      parts.pop_back();
    }
  }
  if (priced.size() < 2) return {};
  Table table = table_of(priced, "cause");
  Difference whole{"whole", cost_of(parts.front()), {}};
  for (std::size_t r = 1; r < parts.size(); ++r) whole.others.push_back(cost_of(parts[r]));
  std::vector<Difference> rows = differences(parts);
  rows.push_back(whole);
  for (const Difference& d : rows) {
    std::vector<std::string> cells = {d.cause, count_text(d.base)};
    for (const double other : d.others) {
      const double difference = other - d.base;
      const bool noticeable = std::abs(difference) > kNothing * whole.base;
      cells.push_back(count_text(other) + (noticeable ? " (" + signed_hours(difference) + ")" : std::string{}));
    }
    table.add_row(cells);
  }
  return table.to_text(kPageIndent, style);
}

}  // namespace

std::string comparison_page(const std::vector<NamedReport>& given, ComparedRows rows, const TextStyle& style) {
  CHECK(!given.empty());
  std::vector<NamedReport> reports = given;
  const std::vector<std::string> paths = compared_paths(reports, rows);
  if (paths.empty()) return "no difference\n";
  std::string figures, causes;
  for (std::size_t first = 1; first < std::max<std::size_t>(reports.size(), 2); first += kBeside) {
    Reports block = {&reports.front()};
    for (std::size_t i = first; i < std::min(first + kBeside, reports.size()); ++i) block.push_back(&reports[i]);
    figures += (figures.empty() ? "" : "\n") + figures_text(block, paths, style);
    const std::string more = causes_text(block, style);
    causes += (causes.empty() || more.empty() ? "" : "\n") + more;
  }
  if (causes.empty()) return figures;
  return figures + page_heading("WHERE THE DIFFERENCE COMES FROM", "GPU-hours per trillion tokens; the causes add up", style) + causes;
}

}  // namespace trillion
