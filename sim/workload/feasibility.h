// Why a plan cannot run, before anything is simulated: sizes that do not divide, schedules that do not fit, memory that is short.
#pragma once

#include <optional>
#include <vector>

#include "sim/spec/infeasible.h"
#include "sim/spec/scenario.h"
#include "sim/workload/device_mesh.h"
#include "sim/workload/memory.h"

namespace trillion {

// Axes against the model and the batch; everything that needs no schedule.
std::optional<Infeasible> why_layout_impossible(const Scenario& scenario);

// Micro-batches of one replica and step. REQUIRES: !why_layout_impossible(scenario).
std::int64_t micro_batches(const Scenario& scenario);

// The first stage that needs more than the GPU has, by how much; `help` is the caller's, who can try changes.
std::optional<Infeasible> why_memory_short(const std::vector<StageMemory>& memory, const Gpu& gpu);

}  // namespace trillion
