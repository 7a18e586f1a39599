// How long a memory-bound kernel takes as a function of its bytes (curve.h says what all curves share).
#pragma once

#include <cstdint>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/spec/curve_info.h"
#include "sim/spec/kernel.h"

namespace trillion {

// A kernel whose time is the bytes it moves.
//
//   time = launch + row_root sqrt(rows) + bytes / rate x fewer,     fewer = max((C / S)^sm_exponent, rate / (S sm_rate)), at least 1
//
// C are the chip's SMs. row_root is of sums over rows: partial sums of rows are summed in turn, and the measured times grow with the
// square root of the rows, whatever the columns. With knots (what was measured, where the line misses the L2 cache's effect) log-log
// interpolation between them takes the line's place: constant below the first, the line's slope above the last.
struct MemoryCurve {
  CurveInfo info;
  MemoryKernel kernel = MemoryKernel::copy;
  Load load = Load::burst;

  Seconds launch;
  BytesPerSecond rate;
  BytesPerSecond sm_rate;              // what one SM can move; 0: no such limit
  Seconds row_root;                    // 0: the shape of what is read does not matter
  double sm_exponent = 0;              // how time grows when the kernel loses a few SMs
  std::int64_t chip_sms = 0;           // C; 0: fewer SMs cost nothing
  std::vector<double> bytes, seconds;  // knots, both ascending; may be empty
  Range measured;                      // bytes
};
Seconds evaluate(const MemoryCurve& curve, const MemoryBound& kernel, double sms);

}  // namespace trillion
