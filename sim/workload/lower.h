// (Model, Plan) -> TaskGraph: every pipeline action becomes its kernels on the streams of its rank.
//
// Folding (workload/folding.h): replicas that behave alike are simulated once. While folded, a GPU's expert exchanges and expert
// kernels are those of the busiest member of its expert-parallel group, whom all others wait for. With Fidelity::full every GPU
// runs its own share of the tokens, and the waiting emerges: the members of a collective start it together.
//
// Overlap is nobody's factor here: a rank's streams run at the same time, and what is hidden follows from the order of the
// kernels and their dependencies. In an overlapped pair the kernels of a forward and a backward chunk alternate block by block
// in the order of DeepSeek-V3's published profile:
//
//   compute:   attention F | experts B | experts W, experts F | attention B, attention W
//   exchange:  combine B   | dispatch F | dispatch B           | combine F
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/engine/task_graph.h"
#include "sim/moe/expert_load.h"
#include "sim/spec/scenario.h"
#include "sim/timing/timing.h"
#include "sim/workload/device_mesh.h"
#include "sim/workload/folding.h"
#include "sim/workload/kind_table.h"
#include "sim/workload/resolved_block.h"
#include "sim/workload/schedule.h"
#include "sim/workload/stage.h"

namespace trillion {

// The tasks of one pipeline action: consecutive ids.
struct ActionSpan {
  std::int32_t gpu = 0;       // simulated
  std::int32_t position = 0;  // in PipelineSchedule::ranks[pipeline rank]
  TaskId first, end;          // [first, end)
};

// A part of a block's pass on one lane, under its name in DeepSeek-V3's published profile: "attn(F)", "mlp(B)", "dispatch(F)". Some of
// the ids between may be on other lanes.
struct Section {
  const char* name = "";
  std::int32_t gpu = 0;
  Lane lane = Lane::compute;
  TaskId first, end;
};

struct LoweredStep {
  TaskGraph graph;
  std::vector<Evidence> evidence;                         // per kind
  std::vector<std::vector<KindId>> parts;                 // per kind: the kernels that it is a run of, in order; empty: itself
  Folding folding;                                        // which replicas are simulated
  std::int32_t replicas = 1;                              // simulated GPUs of one pipeline rank, with consecutive numbers
  std::vector<std::array<StreamId, kLaneCount>> streams;  // per simulated GPU
  std::vector<ActionSpan> spans;                          // in order of ids
  std::vector<Section> sections;                          // in order of ids; with Detail::kernels only
  double clock_mhz = 0;                                   // LoweringInput::clock_mhz
  TaskId step_end;                                        // first task of the optimizer step; later ids belong to it too

  // How many GPUs of the cluster a simulated one stands for.
  std::int64_t stands_for(std::int32_t gpu) const { return folding.classes[static_cast<std::size_t>(gpu % replicas)].count; }
};

// The stages' blocks, and with them everything that depends on the cut.
struct StageCut {
  std::vector<Stage> stages;
  std::vector<std::int64_t> first_layer;  // of each stage
};

// What of data parallelism an action starts or waits for, beside its own kernels: a stage's first forward pass the gather of its
// parameters, its last weight gradients their reduction.
struct BesideAction {
  bool gathers = false, reduces = false;
  friend auto operator<=>(const BesideAction&, const BesideAction&) = default;
};

// What the lowering reads besides the scenario.
struct LoweringInput {
  const Scenario& scenario;
  const DeviceMesh& mesh;
  const PipelineSchedule& schedule;
  const StageCut& cut;
  const ExpertLoad& load;
  const Timing& timing;
  double clock_mhz = 0;  // that the step holds (workload/step_clock.h); 0: kernels run on their sustained curves
  // Per simulated GPU: how far ahead of the device the host is when the step begins, having issued while the step before still ran.
  // Empty: not at all. What it covers is not in the graph.
  std::vector<SimTime> host_lead = {};
  // Of actions alone (Extent::overlapped_pair): what each rank's one has beside it, nothing where empty; and how many ranks of the step
  // hold a stage, which one action does not show.
  std::vector<BesideAction> beside = {};
  std::int64_t copies = 1;
  TimedBlocks* blocks = nullptr;  // of lowerings before this one, with the same kernels at the same clock
  bool of_a_step = false;         // actions alone, of a step: at its slowest chip's clock
};

LoweredStep lower(const LoweringInput& input, Detail detail = Detail::kernels);

// The blocks' surroundings as the scenario sets them. `routing` must outlive the result.
BlockContext block_context(const Scenario& scenario, const DeviceMesh& mesh, const LayerRouting& routing);

// Whether forward and backward chunks alternate on a rank, kernel by kernel, so that exchanges run beside kernels all the time.
bool alternates_chunks(const Plan& plan);

// Whether a chunk's parameters are gathered ahead of its passes and its gradients reduced together: Megatron-LM's interleaved schedule
// (lower_step_end.cpp, gather_ahead), which all stacks are taken to have.
bool aligns_chunks(const Plan& plan);

// SMs that kernels run on: where two chunks overlap, what the expert-parallel library's persistent communication kernels leave over. A
// step of chips whose draw nobody knows runs its products and attention at the slowest one's clock (spec/chip_spread.h).
Conditions kernel_conditions(const Scenario& scenario, const Timing& timing);
double slowest_step_clock(const Scenario& scenario);  // over the mean's

}  // namespace trillion
