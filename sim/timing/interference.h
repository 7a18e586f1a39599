// What a kernel and a transfer cost each other when they run at the same time, beyond the SMs that the transfer holds (those
// are Conditions::sms): shared HBM, L2 and power. The factors are measured (calibration/probes, "interference") and live in the
// profile; a profile whose kernels were traced inside an overlapped step already contains them and has factors of 1.
#pragma once

#include "sim/spec/calibration.h"
#include "sim/spec/kernel.h"

namespace trillion {

// Time beside communication over time alone on the same SMs; at least 1.
double slowdown_beside_communication(const Stack& stack, const Kernel& kernel);

// Time of a transfer beside computation over its time alone; at least 1.
double slowdown_beside_compute(const Stack& stack);

}  // namespace trillion
