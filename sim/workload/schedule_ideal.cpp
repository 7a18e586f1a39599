#include "sim/workload/schedule_ideal.h"

#include <algorithm>

#include "sim/base/error.h"
#include "sim/workload/schedule_index.h"

namespace trillion {

double StageTimes::of(ActionKind kind) const {
  switch (kind) {
    case ActionKind::forward: return forward;
    case ActionKind::backward: return input_gradient + weight_gradient;
    case ActionKind::input_gradient: return input_gradient;
    case ActionKind::weight_gradient: return weight_gradient;
  }
  CHECK(false, "unknown kind of pass");
}

IdealRun ideal_run(const PipelineSchedule& schedule, const IdealTimes& times) {
  CHECK(times.stages.size() == static_cast<std::size_t>(schedule.stages), "one StageTimes per stage");
  const PassIndex index(schedule);
  const std::size_t ranks = schedule.ranks.size();
  std::vector<std::vector<double>> ends(ranks);
  for (std::size_t rank = 0; rank < ranks; ++rank) ends[rank].resize(schedule.ranks[rank].size());
  const auto duration = [&](const Pass& pass) { return times.stages[static_cast<std::size_t>(pass.stage)].of(pass.kind); };
  const auto ready = [&](const Pass& pass) {
    double latest = 0;
    for (const Pass& before : index.dependencies(pass)) {
      const PassPlace place = index.find(before);
      latest = std::max(latest, ends[static_cast<std::size_t>(place.rank)][static_cast<std::size_t>(place.position)]);
    }
    return latest;
  };

  IdealRun run{std::vector<IdealRank>(ranks), 0};
  for (const auto& [rank_number, position] : execution_order(schedule)) {
    const auto rank = static_cast<std::size_t>(rank_number);
    const Action& action = schedule.ranks[rank][static_cast<std::size_t>(position)];
    double start = std::max(run.ranks[rank].end, ready(action.first));
    double length = duration(action.first);
    if (action.second) {
      start = std::max(start, ready(*action.second));
      length = (length + duration(*action.second)) * times.pair_ratio;
    }
    if (position == 0) run.ranks[rank].start = start;
    run.ranks[rank].end = start + length;
    run.ranks[rank].busy += length;
    ends[rank][static_cast<std::size_t>(position)] = start + length;
    run.makespan = std::max(run.makespan, start + length);
  }
  return run;
}

}  // namespace trillion
