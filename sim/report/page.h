// The page that a training lead pastes into a document: at most `style.columns` wide, the answer first, then where the time goes,
// whether it fits, and on which evidence. It names a convention where it prints a figure that depends on one.
//
// Like the JSON report it is a function of scenario and seed alone: what the simulation itself took is not on it.
#pragma once

#include <string>

#include "sim/estimate/estimate.h"
#include "sim/report/text_style.h"

namespace trillion {

std::string report_page(const Scenario& scenario, const Estimate& estimate, const TextStyle& style);

// Why the plan cannot run, by how much, and what would help.
std::string infeasible_page(const Scenario& scenario, const Infeasible& infeasible, const TextStyle& style);

}  // namespace trillion
