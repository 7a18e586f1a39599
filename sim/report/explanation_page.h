// Why a step takes as long as it does, for people: where the time goes, the critical path in words, and what would shorten the step.
#pragma once

#include <string>

#include "sim/planner/explanation_json.h"
#include "sim/report/text_style.h"
#include "sim/spec/scenario.h"

namespace trillion {

std::string explanation_page(const Scenario& scenario, const Explanation& explanation, const TextStyle& style);

}  // namespace trillion
