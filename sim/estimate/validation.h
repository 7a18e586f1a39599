// Predicted against published: what a scenario's expected.yaml says of its report. Nothing here feeds back into a model.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/estimate/report_figures.h"
#include "sim/spec/expected.h"

namespace trillion {

struct ValidationRow {
  std::string scenario, quantity;
  std::optional<double> predicted;  // empty: the plan cannot run, so nothing was predicted
  double published = 0, tolerance = 0;
  std::string source;
  std::string name = {};       // of the case in its expected.yaml; empty: the scenario as it stands
  std::string known_gap = {};  // what the model leaves out; empty: nothing known
  double measured_share = 0;   // of the step's time, spoken for by measured curves

  // predicted / published - 1. REQUIRES: predicted.
  double relative_error() const { return *predicted / published - 1; }
  bool ok() const;
  // Outside, and nobody has said why: such a row fails the validation.
  bool unexplained() const { return !ok() && known_gap.empty(); }
  // Its parts were measured, by us, on that GPU or on the same silicon; else they are figures that others published.
  bool parts_measured() const { return measured_share >= 0.5; }
};

// One row per expected figure. Throws InputError for a quantity that the report does not have, naming the nearest one, and for
// a published figure of 0, against which no relative error exists.
std::vector<ValidationRow> validation_rows(const std::string& scenario, const ExpectedCase& expected,
                                           const std::vector<ReportFigure>& figures);

// The rows of a plan that cannot run.
std::vector<ValidationRow> unpredicted_rows(const std::string& scenario, const ExpectedCase& expected);

// Over the rows that have a prediction; empty without any. The mean of the middle two where their number is even.
std::optional<double> median_absolute_relative_error(const std::vector<ValidationRow>& rows);

// "trillion.validation/1" (../shared/INTERFACE.md).
std::string validation_json(const std::vector<ValidationRow>& rows);

}  // namespace trillion
