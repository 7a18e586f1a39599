// How Megatron-LM's flags cut a model into stages, as far as it does not read a layout. Internal to read_megatron.
#pragma once

#include "sim/handover/flag_reader.h"
#include "sim/handover/read_megatron.h"

namespace trillion {

// Sets pipeline_parallel, virtual_pipeline_stages, schedule and layers_per_stage.
void read_megatron_stages(FlagReader& flags, const Model& model, MegatronPlan& to);

}  // namespace trillion
