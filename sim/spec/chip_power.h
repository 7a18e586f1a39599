// What a chip draws and the clock that it holds at its power limit. Struct *and* evaluation are here, so that the fit
// (calibration/fit) and the simulator cannot drift apart.
//
// A kernel's arithmetic runs at the clock, its memory does not: with the clock f_s that it holds alone under the limit, where it
// takes t_s, it takes t_s f_s / f at another clock f, and never less than in a burst, whose clock a faster limiter holds.
#pragma once

#include <optional>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/spec/curve.h"
#include "sim/spec/kernel.h"
#include "sim/spec/origin.h"

namespace trillion {

// What the chip draws while it computes, and so which clock it can hold. f is the SM clock, f_max the highest; a kernel runs
// alone at the highest f where its draw stays below the limit, a step at the f where the mean over its kernels does:
//
//   products, attention   idle + (f / f_max)^(exponent - 1) (products f / f_max + energy x FLOP/s + memory x bytes/s)
//   memory-bound          idle + memory_kernels f_m / f_max                   f_m = min(f_max, memory_clock f)
//
// Rates are those at f, so the draw of arithmetic grows with f^exponent: the voltage rises with the clock.
struct ChipPower {
  Watts limit;           // 0: not known; a long step then runs on the sustained curves as they are
  Watts measured_under;  // the limit of the chip whose sustained curves these are; 0: the same
  Watts idle;
  double clock_max_mhz = 0;
  Watts products, memory_kernels;  // at f_max
  Joules bf16, fp8, attention;     // of 1e12 FLOP
  Joules memory;                   // of 1e12 bytes
  double exponent = 1;             // of draw over clock
  double memory_clock = 1;         // clock of the memory-bound kernels in a step, over that of its products: the chip follows within a ms
  Residuals residuals;             // of the clock of each measured kernel
  Provenance provenance;

  bool known() const { return limit.value() > 0; }
};

// What one kernel does in a second.
struct Draw {
  double bf16 = 0, fp8 = 0, attention = 0;  // 1e12 FLOP/s
  double memory = 0;                        // 1e12 bytes/s, of a product's operands; not of a memory-bound kernel
  bool memory_kernel = false;
};

// Nothing for a collective. REQUIRES: time > 0.
std::optional<Draw> draw_of(const Shape& shape, Seconds time);

// REQUIRES: power.known(), `draw`'s rates are those at this clock.
Watts draw(const ChipPower& power, const Draw& draw, double clock_mhz);

// The clock at which a kernel with these rates draws the limit; at most the highest.
double clock_alone(const ChipPower& power, const Draw& draw);

// A kernel as often as a step runs it.
struct PowerLoad {
  Seconds burst, sustained;  // its time alone in the two power states; burst: at the highest clock that a burst holds
  Seconds memory;            // of a memory-bound kernel: what its bytes alone take, whatever the clock
  Draw draw;                 // at the sustained time
  double count = 1;
};

// Time of a kernel in a step whose products hold this clock: `sustained` is at the clock that it held alone under `measured_under`. A
// memory-bound kernel that takes longer than its bytes spends the rest on instructions, which run at f_m: (memory^4 +
// instructions^4)^(1/4), as a product's compute and memory add up (spec/curve.h).
Seconds time_at(const ChipPower& power, const PowerLoad& load, double clock_mhz);

// The highest clock at which the mean draw over the loads, one after the other, stays below the limit.
double step_clock(const ChipPower& power, const std::vector<PowerLoad>& loads);

}  // namespace trillion
