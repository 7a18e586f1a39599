#include "sim/report/validation_page.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "sim/base/number_text.h"
#include "sim/report/figure_text.h"
#include "sim/report/table.h"

namespace trillion {
namespace {

using Rows = std::vector<ValidationRow>;

const char* verdict(const ValidationRow& row) {
  if (row.ok()) return "ok";
  return row.unexplained() ? "OUTSIDE" : "known gap";
}

std::string full_name(const ValidationRow& row) { return row.name.empty() ? row.scenario : row.scenario + ": " + row.name; }

Rows chosen(const Rows& rows, const std::function<bool(const ValidationRow&)>& wanted) {
  Rows result;
  std::copy_if(rows.begin(), rows.end(), std::back_inserter(result), wanted);
  return result;
}

bool of_memory(const ValidationRow& row) { return row.quantity.starts_with("memory."); }

std::string rows_text(std::size_t count) { return std::to_string(count) + (count == 1 ? " row" : " rows"); }

// "5.1 % (12 rows)", or nothing.
std::string median_text(const Rows& rows) {
  const std::optional<double> median = median_absolute_relative_error(rows);
  return median ? percent_text(*median) + " (" + rows_text(rows.size()) + ")" : std::string();
}

std::string medians(const Rows& rows, const TextStyle& style) {
  Table table({{"median |error|", Align::left}, {"time", Align::right}, {"memory", Align::right}});
  std::map<std::string, Rows> by_scenario;
  for (const ValidationRow& row : rows) by_scenario[row.scenario].push_back(row);
  const auto add = [&](const std::string& name, const Rows& some) {
    table.add_row(
        {name, median_text(chosen(some, [](const ValidationRow& r) { return !of_memory(r); })), median_text(chosen(some, of_memory))});
  };
  // A scenario of one case says nothing by its median: those are one line.
  const auto one_case = [](const Rows& some) {
    return std::all_of(some.begin(), some.end(), [&](const ValidationRow& r) { return r.name == some.front().name; });
  };
  Rows single;
  std::size_t singles = 0;
  for (const auto& [scenario, some] : by_scenario) {
    if (one_case(some)) {
      single.insert(single.end(), some.begin(), some.end());
      ++singles;
    } else {
      add(scenario, some);
    }
  }
  if (singles > 1) add("scenarios of one case: " + std::to_string(singles), single);
  const Rows predicted = chosen(rows, [](const ValidationRow& r) { return r.predicted.has_value(); });
  const Rows measured = chosen(predicted, [](const ValidationRow& r) { return r.parts_measured(); });
  const Rows published = chosen(predicted, [](const ValidationRow& r) { return !r.parts_measured(); });
  if (!measured.empty()) add("where we measured the parts", measured);
  if (!published.empty()) add("where others published the parts", published);
  return table.empty() ? std::string() : "\n" + table.to_text(0, style);
}

std::string known_gaps(const Rows& rows) {
  std::map<std::string, std::vector<std::string>> of_reason;
  for (const ValidationRow& row : rows) {
    if (!row.ok() && !row.known_gap.empty()) of_reason[row.known_gap].push_back(full_name(row));
  }
  std::string text;
  for (const auto& [reason, names] : of_reason) {
    text += "  " + reason + "\n";
    for (const std::string& name : names) text += "    " + name + "\n";
  }
  return text.empty() ? text : "\nknown gaps: what the model leaves out, and the rows outside their tolerance for it\n" + text;
}

}  // namespace

std::string validation_page(const std::vector<ValidationRow>& rows, const TextStyle& style) {
  Table table({{"scenario", Align::left},
               {"quantity", Align::left, Fit::shrink},
               {"predicted", Align::right},
               {"published", Align::right},
               {"error", Align::right},
               {"tolerance", Align::right},
               {"", Align::left},
               {"source", Align::left, Fit::shrink}});
  for (const ValidationRow& row : rows) {
    table.add_row({full_name(row), row.quantity, row.predicted ? figure_text(row.quantity, *row.predicted) : "cannot run",
                   figure_text(row.quantity, row.published), row.predicted ? signed_percent_text(row.relative_error()) : "",
                   percent_text(row.tolerance), verdict(row), row.source});
  }
  std::string text = table.to_text(0, style) + known_gaps(rows) + medians(rows, style);
  if (const std::optional<double> median = median_absolute_relative_error(rows)) {
    const auto ok = std::count_if(rows.begin(), rows.end(), [](const ValidationRow& row) { return row.ok(); });
    text += "\nmedian |error| " + percent_text(*median) + ", " + std::to_string(ok) + " of " + std::to_string(rows.size()) +
            " within tolerance\n";
  }
  return text;
}

}  // namespace trillion
