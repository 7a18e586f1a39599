// From a scenario's path to its outcome, and what that took.
#pragma once

#include <string>
#include <vector>

#include "sim/cli/verbs.h"
#include "sim/estimate/estimate.h"
#include "sim/estimate/result_json.h"

namespace trillion {

struct ScenarioRead {
  Scenario scenario;
  std::vector<std::string> notes;  // for standard error: what --plan changed and left out
};

// Reads a scenario with the command line's plan file, overrides, seed and fidelity. Throws InputError.
ScenarioRead read_scenario(const std::string& path, const ScenarioOptions& how);

// "note: ..." each.
void print_notes(const std::vector<std::string>& notes, const Streams& streams);

struct Simulation {
  Scenario scenario;
  std::vector<std::string> notes;
  Outcome outcome;
  SimulationCost cost;
};

Simulation simulate(const std::string& path, const ScenarioOptions& how);

// The JSON of either outcome.
std::string simulation_json(const Simulation& simulation);

}  // namespace trillion
