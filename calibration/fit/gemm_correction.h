// The smooth correction of a GEMM curve (spec/curve.h, GemmCorrection): what the physical terms leave over, fitted as a table with
// penalised differences between neighbouring knots and projected onto the tables that keep time monotone.
#pragma once

#include "calibration/fit/points.h"
#include "sim/spec/curve.h"

namespace trillion {

// `curve` with a correction from the points; without one if a point is not a plain GEMM.
GemmCurve with_correction(GemmCurve curve, const Points& points);

}  // namespace trillion
