// What comes before a step's first chunk and after its last one, without simulating them: gradients reduced bucket by bucket beside the
// last backward pass, norm, update, parameters gathered; or gathered beside the next step's first forward pass.
//
// The same collectives and kernels as the simulation's (workload/lower_step_end.cpp). What happens beside a chunk's kernels is in its
// profile (workload/chunk_profile.h): reduced buckets and exchanges share the NIC, so that the last backward passes take longer.
#pragma once

#include <vector>

#include "sim/workload/chunk_run.h"
#include "sim/workload/memory.h"
#include "sim/workload/step_end.h"

namespace trillion {

struct StepEndInput {
  const Scenario& scenario;
  const DeviceMesh& mesh;
  const StageCut& cut;
  const ChunkProgram& program;
  BlockMemory& blocks;
  const Timing& timing;
  Conditions conditions;
};

// When the step ends whose chunks ran like this.
double step_end_time(const StepEndInput& input, const ChunkProgram::Run& chunks);

// [stage] seconds until the parameters are there that its first forward pass begins with; empty where none are gathered beside it.
std::vector<double> first_gathered(const StepEndInput& input);

}  // namespace trillion
