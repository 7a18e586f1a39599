// An answer as JSON for programs, "trillion.report/1" (../shared/INTERFACE.md, "Report"); estimate/report_figures.h reads it back.
//
// SI units, the unit in the field's name; bytes and counts are whole numbers; every number is finite; a figure that does not
// exist (a price that the cluster does not have, the routing of a dense model) is null. Order and digits are fixed: the same
// estimate gives the same bytes, and only the block "simulation" may differ between two runs.
#pragma once

#include <string>

#include "sim/base/quantity.h"
#include "sim/estimate/estimate.h"

namespace trillion {

// What it took to simulate: the only part of a report that is not a function of scenario and seed.
struct SimulationCost {
  Seconds wall;
  Bytes peak_memory;  // of the process, resident
};

// Indented, with a newline at the end.
std::string report_json(const Scenario& scenario, const Estimate& estimate, const SimulationCost& cost);

// A plan that cannot run: scenario, plan as asked, and "infeasible"{reason help[]} instead of an answer.
std::string infeasible_json(const Scenario& scenario, const Infeasible& infeasible);

// The plan's keys as the report has them: one JSON object as text.
std::string plan_json_text(const Plan& plan);

// Model FLOPs, MFU and HFU of a step, which the report and the page both show.
struct Utilization {
  FlopsPerSecond causal, noncausal;  // model FLOPs per second and GPU
  double mfu_causal = 0, mfu_noncausal = 0, hfu = 0;
};
Utilization utilization(const Scenario& scenario, const Estimate& estimate);

}  // namespace trillion
