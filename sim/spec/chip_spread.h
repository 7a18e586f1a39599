// How unlike chips of one kind are, and which of many a step waits for.
//
// Under one power limit every chip holds a clock of its own: leakage and voltage differ from die to die. All GPUs of a step wait for
// each other, within a tensor-parallel group at every collective, along a pipeline at every micro-batch, over data-parallel
// replicas at the end. So it runs at the pace of the slowest, which is the slower the more there are. A chip that its limit does not
// hold back is as fast as any other.
#pragma once

#include <cstdint>

#include "sim/spec/chip_power.h"

namespace trillion {

// What the largest of n standard normal values is expected to be (Blom: the quantile of (n - 3/8) / (n + 1/4)); 0 for one. At most
// 2.7: further out lie those that a cluster's operators find and replace.
// REQUIRES: n >= 1.
double expected_largest(std::int64_t n);

// The slowest of `chips`, where chips' clocks under the limit deviate by `spread` (standard, relative): what it draws beyond idle at a
// given clock is more by as much as makes it hold a clock that is lower by spread x expected_largest(chips).
// REQUIRES: spread >= 0, chips >= 1.
ChipPower slowest_of(const ChipPower& power, double spread, std::int64_t chips);

// The clock that the slowest of `chips` holds, over the mean's, where their limit holds them back: 1 - spread x expected_largest(chips).
// What products and attention of a long step are slower by, where what the chip draws is not known and their sustained curves were
// timed on some chip.
// REQUIRES: spread >= 0, chips >= 1.
double slowest_clock(double spread, std::int64_t chips);

}  // namespace trillion
