// The parts of a run that come after its main one: `training.phases`, each the training with some keys changed and, below `plan`, the
// layout with some keys changed.
#pragma once

#include <vector>

#include "sim/spec/scenario.h"
#include "sim/spec/yaml_reader.h"

namespace trillion {

// `root` reads the scenario and `training` its mapping of that name; `s` holds all but the phases already, and is right. What is wrong with
// a phase is said where the phase says it, contradictions with the model and the cluster among it.
std::vector<LaterPhase> read_later_phases(YamlReader& root, YamlReader& training, const Scenario& s);

}  // namespace trillion
