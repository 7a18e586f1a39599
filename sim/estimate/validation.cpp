#include "sim/estimate/validation.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/base/closest_word.h"
#include "sim/base/error.h"

namespace trillion {
namespace {

[[noreturn]] void throw_unknown(const std::string& scenario, const std::string& quantity, const std::vector<ReportFigure>& figures) {
  std::vector<std::string> paths;
  for (const ReportFigure& f : figures) {
    if (f.is_number) paths.push_back(f.path);
  }
  const std::optional<std::string> nearest = closest_word(quantity, paths);
  throw InputError(Diagnostic{{},
                              "the report of " + scenario + " has no number '" + quantity + "'",
                              {},
                              nearest ? "did you mean '" + *nearest + "'?" : "a quantity is a path in the JSON report: step.time_s"});
}

// "origins.<i>.origin" measured: the sum of their "origins.<i>.share_of_time".
double measured_share(const std::vector<ReportFigure>& figures) {
  double sum = 0;
  bool measured = false;
  for (const ReportFigure& f : figures) {
    if (!f.path.starts_with("origins.")) continue;
    if (f.path.ends_with(".origin")) measured = f.text == "measured";
    if (f.path.ends_with(".share_of_time") && measured) sum += f.number;
  }
  return sum;
}

}  // namespace

bool ValidationRow::ok() const { return predicted && std::abs(relative_error()) <= tolerance; }

std::vector<ValidationRow> validation_rows(const std::string& scenario, const ExpectedCase& expected,
                                           const std::vector<ReportFigure>& figures) {
  std::vector<ValidationRow> rows = unpredicted_rows(scenario, expected);
  const double measured = measured_share(figures);
  for (ValidationRow& row : rows) {
    const ReportFigure* predicted = figure(figures, row.quantity);
    if (predicted == nullptr || !predicted->is_number) throw_unknown(scenario, row.quantity, figures);
    row.predicted = predicted->number;
    row.measured_share = measured;
  }
  return rows;
}

std::vector<ValidationRow> unpredicted_rows(const std::string& scenario, const ExpectedCase& expected) {
  std::vector<ValidationRow> rows;
  for (const ExpectedFigure& f : expected.figures) {
    if (f.published == 0) throw InputError(scenario + ": the published " + f.quantity + " is 0, so that no relative error exists");
    rows.push_back({scenario, f.quantity, std::nullopt, f.published, f.tolerance, f.provenance.source, expected.name, f.known_gap, 0});
  }
  return rows;
}

std::optional<double> median_absolute_relative_error(const std::vector<ValidationRow>& rows) {
  std::vector<double> errors;
  for (const ValidationRow& row : rows) {
    if (row.predicted) errors.push_back(std::abs(row.relative_error()));
  }
  if (errors.empty()) return std::nullopt;
  std::sort(errors.begin(), errors.end());
  const std::size_t middle = errors.size() / 2;
  return errors.size() % 2 == 1 ? errors[middle] : (errors[middle - 1] + errors[middle]) / 2;
}

std::string validation_json(const std::vector<ValidationRow>& rows) {
  using Json = nlohmann::ordered_json;
  Json list = Json::array();
  for (const ValidationRow& row : rows) {
    list.push_back({
        {"scenario", row.scenario},
        {"case", row.name.empty() ? Json(nullptr) : Json(row.name)},
        {"quantity", row.quantity},
        {"predicted", row.predicted ? Json(*row.predicted) : Json(nullptr)},
        {"published", row.published},
        {"relative_error", row.predicted ? Json(row.relative_error()) : Json(nullptr)},
        {"tolerance", row.tolerance},
        {"source", row.source},
        {"ok", row.ok()},
        {"known_gap", row.known_gap.empty() ? Json(nullptr) : Json(row.known_gap)},
        {"measured_share_of_time", row.predicted ? Json(row.measured_share) : Json(nullptr)},
    });
  }
  const std::optional<double> median = median_absolute_relative_error(rows);
  const Json json = {
      {"schema", "trillion.validation/1"}, {"rows", list}, {"median_absolute_relative_error", median ? Json(*median) : Json(nullptr)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace trillion
