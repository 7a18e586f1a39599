// Why a layout is not faster: the parts of its step that a change of the plan would shorten, each with the change that gains most by it.
//
//   const auto tried = try_changes(base, neighbours(scenario));
//   for (const Cause& c : main_causes(scenario, base, tried)) ...   // c.part costs c.time; tried[c.change] removes most of it
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "sim/estimate/explanation.h"
#include "sim/planner/neighbours.h"

namespace trillion {

inline constexpr double kNoticeableGain = 0.002;  // share of the time per token that is worth a line

struct Cause {
  std::string part;        // of time_parts(): "exposed expert all-to-all"
  Seconds time;            // of the base's step
  Seconds removed;         // of that, by the change, for the same tokens; the change may lengthen other parts
  std::size_t change = 0;  // index into the changes tried; its gain is of the whole step
};

// A change's cause is the part that it shortens most for the same tokens. Each cause has the change that gains most; the largest gain
// first, at most `most`. What the model itself needs (FLOPs at the peak) is no cause.
std::vector<Cause> main_causes(const Scenario& scenario, const StepResult& base, const std::vector<TriedChange>& tried,
                               std::size_t most = 3);

// Every key that one of the plans has otherwise than the base, as the first that changes it has it.
Plan merged(const Plan& base, const std::vector<Plan>& changed);

// All causes removed at once: what to ask for, and what becomes of the step.
TriedChange together(const Scenario& scenario, const StepResult& base, const std::vector<TriedChange>& tried,
                     const std::vector<Cause>& causes);

}  // namespace trillion
