#include "sim/planner/bound.h"

#include <array>
#include <optional>

#include "sim/workload/block_times.h"
#include "sim/workload/feasibility.h"
#include "sim/workload/schedule_ideal.h"

namespace trillion {

namespace {

// Times of each kind of block, made when asked for.
class Times {
 public:
  Times(const Scenario& s, const DeviceMesh& mesh, const Timing& timing)
      : context_(block_context(s, mesh, even_)), timing_(timing), conditions_(kernel_conditions(s, timing)) {}
  Times(const Times&) = delete;
  Times& operator=(const Times&) = delete;

  const BlockTimes& of(BlockKind kind) {
    std::optional<BlockTimes>& times = times_[static_cast<std::size_t>(kind)];
    if (!times) times = block_times(make_block(kind, context_), timing_, conditions_);
    return *times;
  }

 private:
  LayerRouting even_;
  BlockContext context_;
  const Timing& timing_;
  Conditions conditions_;
  std::array<std::optional<BlockTimes>, kBlockKindCount> times_;
};

}  // namespace

Seconds work_bound(const Scenario& s, const Timing& timing) {
  const DeviceMesh mesh(s.plan, s.cluster);
  Times times(s, mesh, timing);
  const std::vector<std::int64_t> all = {s.model.num_hidden_layers};
  const std::vector<Stage> stages = make_stages(s.model, all, s.plan.recomputed_layers);
  Seconds work;
  for (const BlockKind kind : stages.front()) work += times.of(kind).total();
  return work * (static_cast<double>(micro_batches(s)) / static_cast<double>(s.plan.pipeline_parallel));
}

Seconds schedule_bound(const Scenario& s, const PreparedStep& step, const Timing& timing) {
  Times times(s, step.mesh, timing);
  IdealTimes ideal;
  for (const Stage& stage : step.cut.stages) {
    StageTimes sum{0, 0, 0};
    for (const BlockKind kind : stage) {
      const BlockTimes& t = times.of(kind);
      sum.forward += t.forward.value();
      sum.input_gradient += t.input_gradient.value();
      sum.weight_gradient += t.weight_gradient.value();
    }
    ideal.stages.push_back(sum);
  }
  return Seconds{ideal_run(step.schedule, ideal).makespan};
}

}  // namespace trillion
