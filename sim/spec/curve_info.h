// What every curve says of itself: name, origin, how far it is from what it did not see, where it was measured.
#pragma once

#include <cstdint>
#include <string>

#include "sim/spec/origin.h"

namespace trillion {

// How far the curve is from points that the fit did not see (k-fold cross-validation); for a curve without measured points,
// how far it may be, as its source says.
struct Residuals {
  double median = 0;        // of |time predicted / time measured - 1|
  double p90 = 0;           // 90th percentile of the same; also the half-width of the 90 % interval
  std::int64_t points = 0;  // held-out points behind the two figures; 0: they are a judgement
};

// Inclusive; low > high says that nothing was measured.
struct Range {
  double low = 1, high = 0;

  bool contains(double value) const { return low <= value && value <= high; }
};

struct CurveInfo {
  std::string name;  // "gemm fp8_block forward sustained"
  Provenance provenance;
  Residuals residuals;
  double scale = 1;  // times are multiplied by it: 1, unless the uncertainty redraws the curve
};

}  // namespace trillion
