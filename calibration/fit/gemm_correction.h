// The smooth correction of a GEMM curve (spec/curve.h, GemmCorrection): what the physical terms leave over, fitted as a table with
// penalised differences between neighbouring knots and projected onto the tables that keep time monotone.
#pragma once

#include "calibration/fit/points.h"
#include "sim/spec/curve.h"

namespace trillion {

// `curve` with a correction from the points; without one if a point is not a plain GEMM.
GemmCurve with_correction(GemmCurve curve, const Points& points);

// `curve` moved to the own rows where they are: the surface passes by them and what it moves falls off over the knots around, so that
// shapes far from any own row stay as the curve has them. REQUIRES: not a grouped curve.
GemmCurve with_level_nearby(GemmCurve curve, const Points& own);

}  // namespace trillion
