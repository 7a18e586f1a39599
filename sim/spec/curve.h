// Curves: how long one kernel takes as a function of its shape. Struct *and* evaluation are here, so that the fit
// (calibration/fit) and the simulator (timing/) cannot drift apart.
//
// Every curve gives a *time* that never falls when a dimension grows; efficiency is a result, not an input. Symbols: S = SMs that
// the kernel may use, x = work items / S, waves(x) and s as in waves.h. Times are in seconds on the chip and in the power state
// that the curve was measured in.
#pragma once

#include "sim/spec/attention_curve.h"
#include "sim/spec/collective_curve.h"
#include "sim/spec/curve_info.h"
#include "sim/spec/gemm_curve.h"
#include "sim/spec/memory_curve.h"
#include "sim/spec/waves.h"
