// From a scenario to everything that a step is made of, or why there is none: mesh, routing, schedule, cut of the model, memory.
#pragma once

#include <variant>
#include <vector>

#include "sim/moe/expert_load.h"
#include "sim/spec/infeasible.h"
#include "sim/spec/scenario.h"
#include "sim/timing/timing.h"
#include "sim/workload/lower.h"
#include "sim/workload/memory.h"

namespace trillion {

struct PreparedStep {
  Plan plan;  // with every optional key resolved
  DeviceMesh mesh;
  ExpertLoad load;
  PipelineSchedule schedule;
  StageCut cut;
  std::vector<StageMemory> memory;
};

// `timing` weighs the stages where plan.layers_per_stage is left open.
std::variant<PreparedStep, Infeasible> prepare(const Scenario& scenario, const Timing& timing);

}  // namespace trillion
