// From a trace to the report's figures of one step.
#pragma once

#include "sim/engine/engine.h"
#include "sim/estimate/prepare.h"
#include "sim/estimate/step_result.h"
#include "sim/workload/lower.h"

namespace trillion {

StepResult summarize(const Scenario& scenario, const PreparedStep& prepared, const LoweredStep& lowered, const Trace& trace,
                     const Timing& timing);

}  // namespace trillion
