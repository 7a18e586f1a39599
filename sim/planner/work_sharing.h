// Whoever does a search's work: here the threads of this process.
#pragma once

#include <string>
#include <vector>

#include "sim/planner/plan_search.h"

namespace trillion {

// The results of all tasks, in their order. `threads` as in estimate().
std::vector<std::string> perform_all(const PlanSearch& search, const std::vector<SearchTask>& tasks, unsigned threads);

}  // namespace trillion
