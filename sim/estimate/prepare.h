// From a scenario to everything that a step is made of, or why there is none: mesh, routing, schedule, cut of the model, memory.
#pragma once

#include <compare>
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
#include "sim/workload/stage_split.h"

namespace trillion {

struct PreparedStep {
  Plan plan;  // with every optional key resolved
  DeviceMesh mesh;
  ExpertLoad load;
  PipelineSchedule schedule;
  StageCut cut;
  std::vector<StageMemory> memory;
};

// The plan's expert-parallel group and what one of its ranks routes at a time.
ExpertGroup expert_group(const Scenario& scenario, const DeviceMesh& mesh);

// Routing of the plan's expert-parallel group; empty for a model without experts. What it depends on is in moe/expert_load.h.
ExpertLoad load_of(const Scenario& scenario, const DeviceMesh& mesh);

// What the parts of the model cost to compute, to cut it by.
struct LayerCosts {
  std::vector<double> layers;
  double first = 0, last = 0;  // what the first and the last stage have besides
  auto operator<=>(const LayerCosts&) const = default;
};
// `blocks`: of the scenario.
LayerCosts layer_costs(const Scenario& scenario, BlockMemory& blocks, const Timing& timing);
StageShape stage_shape(const Plan& plan);
// Layers of each stage so that stages, or ranks of two stages, take equally long.
std::vector<std::int64_t> even_split(const StageShape& shape, const LayerCosts& costs);

// Everything but whether it fits in memory; workload/feasibility.h's why_memory_short() tells.
std::variant<PreparedStep, Infeasible> lay_out(const Scenario& scenario, const Timing& timing, const std::optional<ExpertLoad>& known = {});

// The same for what fits; else the reason, with changes that were tried and would help.
//
// `timing` weighs the stages where plan.layers_per_stage is left open. `known`: routing that was drawn for the same micro-batches
// before; steps that differ in their batch size share it.
std::variant<PreparedStep, Infeasible> prepare(const Scenario& scenario, const Timing& timing, const std::optional<ExpertLoad>& known = {});

// The step as tasks, run and read. `prepared` belongs to `scenario`.
StepResult simulate_prepared(const Scenario& scenario, const PreparedStep& prepared, const Timing& timing);

}  // namespace trillion
