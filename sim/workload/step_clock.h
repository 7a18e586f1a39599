// The SM clock that a step holds at the chip's power limit.
//
// The limit holds the mean draw over some 100 ms, which are many kernels: products draw more than it, memory-bound kernels less. So
// the clock of a step is the highest at which the mean over its kernels stays below the limit (spec/chip_power.h), and no kernel's
// own sustained clock. Every rank is taken for the mean of all stages; waiting, which draws less, is left out. Of the step's GPUs it is
// the slowest one's clock (spec/chip_spread.h), for all wait for it.
#pragma once

#include "sim/workload/lower.h"

namespace trillion {

// MHz; 0 where the calibration does not know what the chip draws.
double step_clock_mhz(const LoweringInput& input);

}  // namespace trillion
