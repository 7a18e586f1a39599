// One curve from its points. `key` is a curve whose key fields are set; its parameters and info are filled in, residuals by
// cross-validation included. No points: the priors alone, for the caller to mark as such.
//
// Priors (mean, spread in ln) come from the chip's vendor figures and from what such kernels are known to reach; with many
// points they do not matter, with few they keep the curve sane. They are stated where they are set.
#pragma once

#include <optional>

#include "calibration/fit/facts.h"
#include "calibration/fit/points.h"
#include "sim/spec/curve.h"

namespace trillion {

// Chooses among tile sets (one 128 x 128 tile; a library's choice of tiles; the same with split k; with the smooth correction) by
// cross-validated error, the simpler on a tie.
GemmCurve fit_gemm(const GemmCurve& key, const Points& points, const Chip& chip);
AttentionCurve fit_attention(const AttentionCurve& key, const Points& points, const Chip& chip);
// Knots where they beat the two-parameter line.
MemoryCurve fit_memory(const MemoryCurve& key, const Points& points, const Chip& chip);
// Knots where they beat the closed form.
CollectiveCurve fit_collective(const CollectiveCurve& key, const Points& points, const Chip& chip,
                               const std::optional<AchievedLinks>& links);
ExpertCurve fit_expert(const ExpertCurve& key, const Points& points, const Chip& chip, const std::optional<AchievedLinks>& links);

// The curve's prediction for a point, on the SMs that it was measured with.
double predict(const GemmCurve& curve, const Point& point);
double predict(const AttentionCurve& curve, const Point& point);
double predict(const MemoryCurve& curve, const Point& point);
double predict(const CollectiveCurve& curve, const Point& point);
double predict(const ExpertCurve& curve, const Point& point);

}  // namespace trillion
