// Peak memory of each pipeline rank, from its parameters, gradients, optimizer shard, the activations that the schedule keeps in
// flight, buffers and the software stack's own share.
//
//   parameters   2 bytes each (BF16), 3 in FP8 (the quantised copy is made once per step); ZeRO-3: the shard and two gathered blocks,
//                under a pipeline all
//   gradients    training.optimizer_state.gradient_bytes each; ZeRO-2 and 3: the shard and one block
//   optimizer    master weight and moments of the shard (none: of everything)
//   activations  walked through the rank's own order: a forward pass adds what its blocks save, a backward pass (the weight
//                gradient, where it is split off) frees it
//   buffers      received and sent activations of the pipeline (PyTorch: workload/torch_pipelining.h), the largest gradients on
//                their way back, placeholders of weight gradients (workload/gradient_placeholders.h), and what recomputation brings back
//                while a backward pass runs: of one module at a time, or of a whole layer (of recompute_num_layers) at once
//   offload      the optimizer's state, or what decoder layers save but for two of them on their way, are in the host's memory instead
//   overhead     context, communicator buffers, workspaces, and what the allocator has reserved beyond its tensors: simulated for
//                PyTorch's stacks (workload/torch_allocations.h), a fraction of all of the above for the others
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "sim/workload/block_memory.h"
#include "sim/workload/lower.h"

namespace trillion {

// One line of the memory table.
struct ModuleMemory {
  Bytes parameters, gradients, optimizer, activations;
};
struct NamedBytes {
  std::string name;
  Bytes bytes;
};
inline constexpr const char* kReservedUnused = "reserved, unused";  // the allocator's part of overhead_parts

struct StageMemory {
  std::int64_t stage = 0;  // pipeline rank; its blocks are those of `stages` (with DualPipe two)
  std::vector<std::int32_t> stages;
  Bytes parameters, gradients, optimizer, activations, buffers, overhead;
  std::int64_t in_flight = 0;                            // micro-batches whose activations are held at the peak
  std::array<ModuleMemory, kModuleCount> modules{};      // parameters ... activations by module
  Bytes host;                                            // what plan.offload keeps on the host
  std::vector<NamedBytes> buffer_parts, overhead_parts;  // buffers and overhead by purpose
  Bytes allocated() const { return parameters + gradients + optimizer + activations + buffers; }
  Bytes reserved() const;  // by the allocator
  Bytes peak() const { return parameters + gradients + optimizer + activations + buffers + overhead; }
};

// What memory depends on: LoweringInput without timing.
struct MemoryInput {
  const Scenario& scenario;
  const DeviceMesh& mesh;
  const PipelineSchedule& schedule;
  const StageCut& cut;
  const LayerRouting& routing;
};

// Parameters, gradients, optimizer and overhead of the mean rank: whatever the cut, the fullest one needs no less. 0 where it cannot be
// told without walking through the step (PyTorch's stacks, a schedule from a file). `blocks`: of the scenario with this plan.
Bytes mean_states(const Scenario& scenario, const DeviceMesh& mesh, BlockMemory& blocks);

std::vector<StageMemory> memory_of_ranks(const MemoryInput& input);
std::vector<StageMemory> memory_of_ranks(const MemoryInput& input, BlockMemory& blocks);

}  // namespace trillion
