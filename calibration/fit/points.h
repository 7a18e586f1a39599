// Points of one curve, and cross-validation of any fit over them.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "calibration/fit/raw_file.h"
#include "sim/spec/calibration.h"

namespace trillion {

// One measured time of one curve's kind of shape.
struct Point {
  ShapeQuery query;
  double seconds = 0;
  double sms = 0;  // that it ran on
  Provenance provenance;
  bool borrowed = false;
  std::uint64_t hash = 0;     // of the shape: draws the fold
  std::int64_t channels = 0;  // RawRow::channels
  bool in_switch = false;     // an all-reduce that NCCL left to the switch (sim/spec/nccl.h)
};

using Points = std::vector<Point>;

// Signed ln(predicted / measured) of each point, predicted by a fit that did not see it. `fit_and_predict(train, test)` returns
// seconds for the test points. 5 folds by hash (points of one shape stay together); each shape apart below 10 shapes.
std::vector<double> held_out(const Points& points,
                             const std::function<std::vector<double>(const Points& train, const Points& test)>& fit_and_predict);

// Of |exp(ln ratio) - 1|.
Residuals residuals_of(const std::vector<double>& log_ratios);

// Provenance of a curve from its points: the weakest origin among them and the sources, at most three named.
Provenance provenance_of(const Points& points);

// FNV-1a, so that folds are the same on every machine.
std::uint64_t hash_of(const std::string& text);

}  // namespace trillion
