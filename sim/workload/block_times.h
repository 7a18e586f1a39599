// How long a block's kernels take one after the other, pass by pass, which is what a model is cut into stages by; and with the
// communication that they wait for, which a step cannot undercut.
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

// Operations that wait for each other, nothing else holding them up. On the compute stream they lie from the first kernel to the last.
struct ChainTime {
  double lead = 0;       // seconds of communication before the first kernel; all of it where there is no kernel
  double busy = 0;       // from the first kernel's start to the last one's end
  double tail = 0;       // of communication after the last kernel
  double kernels = 0;    // of `busy`, about: kernels alone
  double exchanges = 0;  // on the stream of dispatches and combines
  bool any_kernel = false;
  ChainTime& operator+=(const ChainTime& next);  // one after the other
};

struct BlockChains {
  ChainTime forward, backward;  // backward: without weight gradients
  double weights = 0;           // kernels of the weight gradients
};

// `least`: the smallest load that any micro-batch brings; operations that may run ahead of the chain do so as early as they can.
BlockChains block_chains(const Block& block, const LayerRouting& least, const Timing& timing, const Conditions& conditions);

}  // namespace trillion
