// --plan FILE: a file of Megatron-LM's flags in the place of a scenario's plan.
#pragma once

#include <string>
#include <vector>

#include "sim/spec/load.h"

namespace trillion {

struct PlanFile {
  Overrides overrides;             // what the flags set, to be laid over the scenario before the command line's own
  std::vector<std::string> notes;  // for standard error: what replaces the scenario's, what is not modelled
};

// `overrides` are the command line's: those of model, cluster and training hold while the flags are read. Throws InputError.
PlanFile read_plan_file(const std::string& file, const std::string& scenario, const Overrides& overrides);

}  // namespace trillion
