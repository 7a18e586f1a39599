// Everything that `trillion explain` has to say about one plan, and its JSON.
#pragma once

#include <string>
#include <vector>

#include "sim/estimate/explanation.h"
#include "sim/planner/neighbours.h"
#include "sim/spec/scenario.h"

namespace trillion {

struct Explanation {
  StepResult step;
  std::vector<TimePart> parts;
  PathStory path;
  std::vector<TriedChange> changes;   // of the plan
  std::vector<TriedChange> relieved;  // of what the plan cannot change
};

// "schema": "trillion.explanation/1"; times in seconds, gains as shares of the step.
std::string explanation_json(const Scenario& scenario, const Explanation& explanation);

}  // namespace trillion
