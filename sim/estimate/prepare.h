// From a scenario to everything that a step is made of, or why there is none: mesh, routing, schedule, cut of the model, memory.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "sim/estimate/step_result.h"
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

// `timing` weighs the stages where plan.layers_per_stage is left open. `known`: routing that was drawn for the same micro-batches
// before; steps that differ in their batch size share it.
std::variant<PreparedStep, Infeasible> prepare(const Scenario& scenario, const Timing& timing, const std::optional<ExpertLoad>& known = {});

// The step as tasks, run and read. `prepared` belongs to `scenario`.
StepResult simulate_prepared(const Scenario& scenario, const PreparedStep& prepared, const Timing& timing);

}  // namespace trillion
