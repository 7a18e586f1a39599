// Measurements -> profile: what `trillion calibrate RAW... --output F` calls.
//
//   const std::vector<RawFile> files = read_raw({"calibration/raw/h100"});
//   const FitReport report = fit(files);
//   write(path, calibration_text(report.calibration));          // spec/load_calibration.h
//   for (const ResidualRow& row : report.residuals) ...          // the table that a person sees
//
// Each kernel kind is fitted apart: parameters of the physical model (spec/curve.h) by least squares on ln(predicted / measured)
// with a robust loss, held near physically sensible values by priors, so that three points give a sane curve and three hundred
// give a precise one. Residuals come from 5-fold cross-validation (each point is predicted by a fit that did not see it; with
// fewer than 10 points each one is left out in turn), folds drawn from a hash of the shape: the same input gives the same bytes.
//
// Rows of a kernel from the profile's own GPU stand alone where there are at least kEnoughOwnRows (curve_points.h). Fewer set the
// curve's level, always, and borrowed rows (facts.h) its shape alone. Law 1: a whole step's time is never an input; there is no
// row type for it.
#pragma once

#include <string>
#include <vector>

#include "calibration/fit/raw_file.h"
#include "sim/spec/calibration.h"

namespace trillion {

// One line of the residual table: |predicted / measured - 1| on points that the fit did not see.
struct ResidualRow {
  std::string curve;  // "gemm bf16 forward burst"
  Origin origin = Origin::measured;
  std::int64_t points = 0;  // 0: too few to hold any out
  double median = 0, p90 = 0;
  double aim_median = 0;  // what the project aims at; 0: no aim for this kind
  std::string note;       // "borrowed from H100", "above 16 MiB: 2.1 %"
};

struct FitReport {
  Calibration calibration;
  std::vector<ResidualRow> residuals;  // in the order of Calibration::curves()
  std::vector<std::string> notes;      // rows that were not used, and why
};

// Throws InputError: no rows, files of different GPUs without a facts.yaml that says which one is meant, an unknown GPU.
FitReport fit(const std::vector<RawFile>& files);

}  // namespace trillion
