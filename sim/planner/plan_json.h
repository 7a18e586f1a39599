// What a search found, for programs, and the flags that ask for a layout.
#pragma once

#include <cstddef>
#include <string>

#include "sim/planner/plan_search.h"
#include "sim/planner/sensitivity.h"

namespace trillion {

// "--set plan.tensor_parallel=4 --set plan.schedule=1f1b": how `layout`, as it was enumerated, differs from the scenario's own plan. Empty
// where it does not.
std::string layout_flags(const Scenario& scenario, const Layout& layout);

// The cluster that a layout is on, as the search names it.
std::string cluster_name(const Scenario& scenario, const Layout& layout);

// What is told of a search.
struct PlanAnswer {
  const PlanSearch& search;
  std::size_t top = 10;                              // at most so many ranked layouts
  const SensitivityAnalysis* sensitivity = nullptr;  // null: not looked at
};

// "schema": "trillion.plan/1".
std::string plan_json(const Scenario& scenario, const PlanAnswer& answer, Seconds wall);

}  // namespace trillion
