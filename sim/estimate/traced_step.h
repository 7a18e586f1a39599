// One step with everything that happened in it: for those who look inside (a timeline file, the critical path).
#pragma once

#include <variant>

#include "sim/engine/engine.h"
#include "sim/estimate/prepare.h"
#include "sim/workload/lower.h"

namespace trillion {

struct TracedStep {
  PreparedStep prepared;
  LoweredStep lowered;
  Trace trace;
  StepResult result;
};

// training.global_batch_size's step, every kernel a task of its own.
std::variant<TracedStep, Infeasible> trace_step(const Scenario& scenario, const Timing& timing);

}  // namespace trillion
