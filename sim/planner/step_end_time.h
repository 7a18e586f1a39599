// What comes before a step's first chunk and after its last one, without simulating them: gradients reduced bucket by bucket beside the
// last backward pass, norm, update, parameters gathered; or gathered beside the next step's first forward pass.
//
// The same collectives and kernels as the simulation's (workload/lower_step_end.cpp), with a stage's blocks spread evenly over its last
// backward pass.
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

// What gathering beside it does to each stage's first forward pass; empty where nothing is. `forward`: [stage] seconds.
std::vector<ChunkProgram::FirstForward> first_forwards(const StepEndInput& input, const std::vector<double>& forward);

}  // namespace trillion
