// Predicted against published: what a scenario's expected.yaml says of its report. Nothing here feeds back into a model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/estimate/result_json.h"
#include "sim/spec/expected.h"

namespace trillion {

struct ValidationRow {
  std::string scenario, quantity;
  std::optional<double> predicted;  // empty: the plan cannot run, so nothing was predicted
  double published = 0, tolerance = 0;
  std::string source;

  // predicted / published - 1. REQUIRES: predicted.
  double relative_error() const { return *predicted / published - 1; }
  bool ok() const;
};

// One row per expected figure. Throws InputError for a quantity that the report does not have, naming the nearest one, and for
// a published figure of 0, against which no relative error exists.
std::vector<ValidationRow> validation_rows(const std::string& scenario, const Expected& expected, const std::vector<ReportFigure>& figures);

// The rows of a plan that cannot run.
std::vector<ValidationRow> unpredicted_rows(const std::string& scenario, const Expected& expected);

// Over the rows that have a prediction; empty without any. The mean of the middle two where their number is even.
std::optional<double> median_absolute_relative_error(const std::vector<ValidationRow>& rows);

// "trillion.validation/1" (../shared/INTERFACE.md).
std::string validation_json(const std::vector<ValidationRow>& rows);

}  // namespace trillion
