#include "sim/report/validation_page.h"

#include <algorithm>
#include <optional>

#include "sim/base/number_text.h"
#include "sim/report/figure_text.h"
#include "sim/report/table.h"

namespace trillion {

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
    table.add_row({row.scenario, row.quantity, row.predicted ? figure_text(row.quantity, *row.predicted) : "cannot run",
                   figure_text(row.quantity, row.published), row.predicted ? signed_percent_text(row.relative_error()) : "",
                   percent_text(row.tolerance), row.ok() ? "ok" : "OUTSIDE", row.source});
  }
  std::string text = table.to_text(0, style);
  if (const std::optional<double> median = median_absolute_relative_error(rows)) {
    const auto ok = std::count_if(rows.begin(), rows.end(), [](const ValidationRow& row) { return row.ok(); });
    text += "\nmedian |error| " + percent_text(*median) + ", " + std::to_string(ok) + " of " + std::to_string(rows.size()) +
            " within tolerance\n";
  }
  return text;
}

}  // namespace trillion
