// Everything that `trillion explain` has to say about one plan, and its JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/estimate/explanation.h"
#include "sim/planner/causes.h"
#include "sim/planner/neighbours.h"
#include "sim/spec/scenario.h"

namespace trillion {

// A cause and how Megatron-LM is asked for the change: flags, or why it cannot be.
struct ToldCause {
  Cause cause;
  std::string megatron;
};

struct Explanation {
  StepResult step;
  std::vector<TimePart> parts;
  PathStory path;
  std::vector<TriedChange> changes;   // of the plan
  std::vector<TriedChange> relieved;  // of what the plan cannot change
  std::vector<ToldCause> causes;      // the main ones; each names one of `changes`
  std::optional<TriedChange> all;     // the main causes removed at once; empty: fewer than two
  std::string all_megatron;
  std::optional<Seconds> measured;  // what a step takes on the user's machine
};

// "schema": "trillion.explanation/1"; times in seconds, gains as shares of the step.
std::string explanation_json(const Scenario& scenario, const Explanation& explanation);

}  // namespace trillion
