// A curve of which too few points exist takes its shape from a donor and its level from the few points: a kernel's sustained times
// from its burst curve, another stack's kernel from the same chip's.
#pragma once

#include <functional>
#include <optional>

#include "calibration/fit/points.h"
#include "sim/spec/curve.h"

namespace trillion {

// Multiplies the curve's times by `factor`.
void slow_down(GemmCurve& curve, double factor);
void slow_down(AttentionCurve& curve, double factor);
void slow_down(MemoryCurve& curve, double factor);
void slow_down(CollectiveCurve& curve, double factor);
void slow_down(ExpertCurve& curve, double factor);

// Residuals of levelling: each point predicted with the others' level. With fewer than three points: the donor's, at least
// 3 % and 10 %.
Residuals level_residuals(const std::vector<double>& log_ratios, const Residuals& donor);

double mean_of(const std::vector<double>& values);

}  // namespace trillion
