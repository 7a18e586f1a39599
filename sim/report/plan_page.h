// Which layout is best, for people: the ranking with what separates neighbours, the Pareto front, what each
// choice costs, what would change the choice, and how to ask for the winner.
#pragma once

#include <cstddef>
#include <string>

#include "sim/planner/plan_json.h"
#include "sim/planner/plan_search.h"
#include "sim/report/text_style.h"

namespace trillion {

// REQUIRES: at least one layout was simulated.
std::string plan_page(const Scenario& scenario, const PlanAnswer& answer, const TextStyle& style);

// No layout can run: how many there were, and which came closest.
std::string no_plan_page(const Scenario& scenario, const PlanSearch& search, const TextStyle& style);

// "tp 8 sp, pp 4 x 2, dp 16, mbs 2, interleaved-1f1b, recompute norm+activation, zero-1": only what is not 1 or usual.
std::string layout_text(const Layout& layout);

}  // namespace trillion
