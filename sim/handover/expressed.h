// The plan nearest to ours that a framework can be asked for, and what was lost on the way to it.
//
//   const Expressed e = expressed(Target::megatron, scenario);   // scenario.plan as simulated: DualPipe
//   e.plan.schedule                                                // 1f1b
//   e.lost.front()                                                 // "plan.schedule: dualpipe -> 1f1b (Megatron-LM knows ...)"
//
// The nearest plan can be simulated like any other: what the framework will really run has a prediction of its own.
#pragma once

#include <string>
#include <vector>

#include "sim/handover/target.h"
#include "sim/spec/scenario.h"

namespace trillion {

struct Expressed {
  Plan plan;
  std::vector<std::string> lost;  // a line each; empty: the framework runs the plan as it was simulated
};

// One of several plans that mean the same: what one rank makes meaningless (the overlap of tensor_parallel 1, the schedule of one stage)
// is at its default, and recompute is in the order of its modules. REQUIRES: plan.data_parallel and plan.layers_per_stage are given.
Plan canonical(const Scenario& scenario);

// `scenario.plan` is what was simulated, data_parallel and layers_per_stage resolved (`resolved`).
Expressed expressed(Target target, const Scenario& scenario);

// One function for each framework; the first is also what `--plan FILE` can come out at.
Expressed expressed_in_megatron(const Scenario& scenario);
Expressed expressed_in_torchtitan(const Scenario& scenario);
Expressed expressed_in_deepspeed(const Scenario& scenario);

}  // namespace trillion
