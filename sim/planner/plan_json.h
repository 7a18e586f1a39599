// What a search found, for programs, and the flags that ask for a layout.
#pragma once

#include <cstddef>
#include <string>

#include "sim/planner/plan_search.h"

namespace trillion {

// "--set plan.tensor_parallel=4 --set plan.schedule=1f1b": how `layout`, as it was enumerated, differs from the scenario's own plan. Empty
// where it does not.
std::string layout_flags(const Scenario& scenario, const Layout& layout);

// The cluster that a layout is on, as the search names it.
std::string cluster_name(const Scenario& scenario, const Layout& layout);

// "schema": "trillion.plan/1". `top`: at most so many ranked ones.
std::string plan_json(const Scenario& scenario, const PlanSearch& search, std::size_t top, Seconds wall);

}  // namespace trillion
