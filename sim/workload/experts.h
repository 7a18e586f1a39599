// The four exchanges of a routed layer over the expert-parallel group: tokens to their experts and back, then their gradients the
// same way. FP8 recipe: tokens and gradients travel to the experts in FP8, results come back in BF16 (DeepSeek-V3 report, 3.3.3).
#pragma once

#include <optional>

#include "sim/workload/passes.h"

namespace trillion {

// All empty when the experts of a layer live on one rank.
Exchanges exchanges(const BlockContext& context);

}  // namespace trillion
