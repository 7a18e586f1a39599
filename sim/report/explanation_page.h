// Why a step takes as long as it does, for people: where the time goes, the critical path in words, and what would shorten the step.
#pragma once

#include <string>
#include <vector>

#include "sim/estimate/explanation.h"
#include "sim/planner/neighbours.h"
#include "sim/report/text_style.h"
#include "sim/spec/scenario.h"

namespace trillion {

struct Explanation {
  StepResult step;
  std::vector<TimePart> parts;
  PathStory path;
  std::vector<TriedChange> changes;   // of the plan
  std::vector<TriedChange> relieved;  // of what the plan cannot change
};

std::string explanation_page(const Scenario& scenario, const Explanation& explanation, const TextStyle& style);

// "schema": "trillion.explanation/1"; times in seconds.
std::string explanation_json(const Scenario& scenario, const Explanation& explanation);

}  // namespace trillion
