// What stands in for a curve that the profile lacks. Nothing silent: a stand-in has a name of its own, origin `assumed`, a
// source that says what it was made from and by which rule, and a wider interval than its parent.
//
// The parent is the related curve with the smallest sum of these distances; the interval's half-width grows by the sum of the
// second column:
//
//   GEMM         other accumulation 1 / 0.05 · other layout 2 / 0.10 · other power state 4 / 0.05 · grouped from plain or the
//                reverse 6 / 0.15 · fp8 for fp8_block or the reverse 8 / 0.10 · rate scaled by the ratio of the peaks 16 / 0.25
//   attention    other power state 4 / 0.05 · other head dimensions, 8 per factor of two / 0.10 · other direction 64 / 0.30
//   memory-bound other power state 4 / 0.05 · `copy` at the same bytes 16 / 0.25
//   collectives  the nearest kind / 0.30
#pragma once

#include <optional>

#include "sim/spec/calibration.h"

namespace trillion {

// A curve for the key of `wanted` (its other fields are ignored) from the nearest relative in the calibration; nothing when
// the calibration has no relative.
std::optional<GemmCurve> stand_in(const Calibration& calibration, const GemmCurve& wanted);
std::optional<AttentionCurve> stand_in(const Calibration& calibration, const AttentionCurve& wanted);
std::optional<MemoryCurve> stand_in(const Calibration& calibration, const MemoryCurve& wanted);
std::optional<CollectiveCurve> stand_in(const Calibration& calibration, const CollectiveCurve& wanted);
std::optional<ExpertCurve> stand_in(const Calibration& calibration, const ExpertCurve& wanted);

}  // namespace trillion
