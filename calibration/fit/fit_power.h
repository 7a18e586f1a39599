// What the chip draws and the clock that it holds (spec/chip_power.h), from the clocks that the probes counted on the
// SMs while each kernel ran back to back for seconds ("load":"sustained"). A row below the highest clock was held there by the
// power limit, so each such row is one equation
//
//   limit = idle + (f / f_max)^(exponent - 1) (products f / f_max + energy x FLOP/s + memory x bytes/s)
//
// solved by robust least squares. The exponent comes first, from the rows of calibration/probes/power.cu alone: there each kernel
// shares its time with gaps and is held at clocks from what it keeps alone up to its burst's, so
//
//   power = busy (idle + at_1400 (f / 1400 MHz)^exponent) + (1 - busy) gap         at_1400 of each kernel, one exponent
//
// The same rows with a copy in the gaps say how much higher the clock is in them than in the products: memory_clock.
// f: the clock of the row without gaps times how much faster the kernel ran than there. Rows of borrowed folders count, since the chip is
// the same. Without any: 1, and the source says that it is assumed. Idle is the lowest draw in any row; memory-bound kernels draw what NVML
// says of their sustained rows. Law 1: a step's time, clock or draw is never an input.
#pragma once

#include <vector>

#include "calibration/fit/raw_file.h"
#include "sim/spec/calibration.h"

namespace trillion {

// Not known() with fewer than kEnoughClocks own rows held by the limit: another stack's kernels, timed within a step, hold its clock
// already.
inline constexpr std::size_t kEnoughClocks = 20;
ChipPower fit_power(const std::vector<RawFile>& files);

}  // namespace trillion
