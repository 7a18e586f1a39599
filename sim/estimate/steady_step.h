// A step among equal steps. Where the host issues kernels one by one it runs ahead of the device, over the end of a step into the
// next: it is held up only where it waits for a result. A step is therefore lowered again with the lead that the step before left
// over, until its time stays the same.
#pragma once

#include "sim/engine/engine.h"
#include "sim/workload/lower.h"

namespace trillion {

struct SteadyStep {
  LoweredStep lowered;
  Trace trace;  // when everything happened
};

SteadyStep steady_step(const LoweringInput& input, Detail detail = Detail::runs);

}  // namespace trillion
