// How long a block's kernels take one after the other, pass by pass: what cutting a model into stages and bounding a step need.
#pragma once

#include "sim/timing/timing.h"
#include "sim/workload/block.h"

namespace trillion {

// One micro-batch; communication takes no time here.
struct BlockTimes {
  Seconds forward, input_gradient, weight_gradient;  // recomputation belongs to the input gradient
  Seconds total() const { return forward + input_gradient + weight_gradient; }
};

BlockTimes block_times(const Block& block, const Timing& timing, const Conditions& conditions);

}  // namespace trillion
