// How long one kernel or one collective takes alone. The only door to the calibration: lowering and `trillion time` ask here.
#pragma once

#include <cstdint>

#include "sim/base/quantity.h"
#include "sim/spec/calibration.h"
#include "sim/spec/cluster.h"
#include "sim/spec/kernel.h"

namespace trillion {

// Under which conditions a kernel runs.
struct Conditions {
  std::int64_t sms = 0;  // streaming multiprocessors that it may use; 0: all of the chip
  Load load = Load::burst;
};

// A time and how much it can be trusted.
struct KernelTime {
  Seconds time;
  Seconds low, high;          // 90 % interval from the curve's residuals
  std::uint32_t curve = 0;    // index into Calibration::curve_provenance(): which curve spoke
  bool extrapolated = false;  // the shape lies outside the measured range
};

class Timing {
 public:
  // Both must outlive the Timing.
  Timing(const Calibration& calibration, const Cluster& cluster);

  KernelTime time(const Kernel& kernel, const Conditions& conditions = {}) const;
  // The group alone on an idle fabric.
  KernelTime time(const Collective& collective) const;

 private:
  const Calibration& calibration_;
  const Cluster& cluster_;
};

}  // namespace trillion
