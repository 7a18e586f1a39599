// A scenario with all that its lowering reads, made without a search: even stages, no routing samples.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sim/workload/feasibility.h"
#include "sim/workload/lower.h"
#include "sim/workload/memory.h"
#include "tests/support/linear_machine.h"

namespace trillion::testing_support {

inline Scenario with_even_stages(Scenario s) {
  const std::int64_t stages = stage_count(s.plan);
  if (!s.plan.layers_per_stage) {
    s.plan.layers_per_stage = std::vector<std::int64_t>(static_cast<std::size_t>(stages), s.model.num_hidden_layers / stages);
  }
  return s;
}

inline Scenario linear_pipeline(ScheduleKind schedule, std::int64_t ranks, Model model = dense_model(8)) {
  Plan plan;
  plan.schedule = schedule;
  plan.pipeline_parallel = ranks;
  return linear_scenario(std::move(model), plan, 2, 16 / ranks * 4 * ranks);  // 4 micro-batches a rank
}

// The parts refer to each other, so the whole stays where it was made.
struct LaidOutStep {
  explicit LaidOutStep(Scenario s)
      : scenario(with_even_stages(std::move(s))),
        timing(scenario.calibration, scenario.cluster),
        mesh(scenario.plan, scenario.cluster),
        schedule(schedule_of(scenario.plan, micro_batches(scenario))),
        cut{make_stages(scenario.model, *scenario.plan.layers_per_stage, scenario.plan.recomputed_layers),
            first_layers(*scenario.plan.layers_per_stage)} {}
  LaidOutStep(const LaidOutStep&) = delete;
  LaidOutStep& operator=(const LaidOutStep&) = delete;

  LoweredStep lowered(Detail detail = Detail::kernels) const { return lower({scenario, mesh, schedule, cut, load, timing}, detail); }
  std::vector<StageMemory> memory() const { return memory_of_ranks({scenario, mesh, schedule, cut, load.mean}); }
  Block block(BlockKind kind) const { return make_block(kind, block_context(scenario, mesh, load.mean)); }

  Scenario scenario;
  Timing timing;
  DeviceMesh mesh;
  PipelineSchedule schedule;
  StageCut cut;
  ExpertLoad load;
};

// Labels of a stream's tasks, in the order in which they run.
inline std::vector<std::string> labels_on(const LoweredStep& step, std::size_t rank, Lane lane) {
  std::vector<std::string> out;
  for (const TaskId t : step.graph.tasks_of(step.streams[rank][static_cast<std::size_t>(lane)])) out.push_back(step.graph.kind_of(t).label);
  return out;
}

}  // namespace trillion::testing_support
