// What tells layouts apart that run different kernels.
#pragma once

#include <string>

#include "sim/planner/search_space.h"

namespace trillion {

// Everything that a layout's kernels depend on, as text: layouts with the same key are one family (planner/screening.h). Data parallelism
// and the cut are not in it; of the schedule only whether kernels leave SMs to the exchanges beside them. A key of the plan that changes a
// kernel belongs here. `on`: the scenario on the layout's cluster, at its size.
std::string kernel_key(const Layout& layout, const Scenario& on);

}  // namespace trillion
