// Megatron-LM's flags beside those of the plan: the model's shape, held against the scenario's, and everything else, sorted by whether
// it costs anything. Internal to read_megatron.
#pragma once

#include "sim/handover/flag_reader.h"
#include "sim/handover/read_megatron.h"

namespace trillion {

// A flag of the model's shape that differs from the scenario's model is a problem at its place, and so is one that a file with a
// model (--num-layers) leaves out though the scenario's model needs it.
void check_megatron_model(FlagReader& flags, const Model& model);

// What nobody asked for: a misspelt name of a modelled flag is a problem, others are listed or counted in `to`.
void sort_other_flags(FlagReader& flags, MegatronPlan& to);

}  // namespace trillion
