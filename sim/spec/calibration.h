// How fast the parts are: one GPU model *and* one software stack. Owned by the fit; see spec/curve.h.
#pragma once

namespace trillion {
struct Calibration {};
}  // namespace trillion
