// From a scenario's path to its outcome, and what that took.
#pragma once

#include <string>

#include "sim/cli/verbs.h"
#include "sim/estimate/estimate.h"
#include "sim/estimate/result_json.h"

namespace trillion {

// Reads a scenario with the command line's overrides, seed and fidelity. Throws InputError.
Scenario read_scenario(const std::string& path, const ScenarioOptions& how);

struct Simulation {
  Scenario scenario;
  Outcome outcome;
  SimulationCost cost;
};

Simulation simulate(const std::string& path, const ScenarioOptions& how);

// The JSON of either outcome.
std::string simulation_json(const Simulation& simulation);

}  // namespace trillion
