// What to type to get from one plan to another in Megatron-LM.
#pragma once

#include <string>

#include "sim/spec/scenario.h"

namespace trillion {

// "--micro-batch-size 2 --recompute-granularity selective --recompute-modules ..., without --sequence-parallel"; or, for a plan that
// loses something on the way (expressed()), "no flags: " and what. Both plans are resolved().
std::string megatron_change(const Scenario& from, const Scenario& to);

}  // namespace trillion
