#include "sim/workload/activation_walk.h"

namespace trillion {

FullestMoment fullest_moment(const std::vector<Action>& actions, const std::vector<StageHold>& stages) {
  FullestMoment now, fullest;
  now.held_of_stage.resize(stages.size());
  now.has_gradients.resize(stages.size());
  fullest = now;
  Bytes gradients, most;
  const auto end = [&](const StageHold& hold, std::size_t stage, bool split) {
    now.saved -= hold.saved;
    now.beside -= hold.beside + (split ? hold.split : Bytes{});
    --now.held_of_stage[stage];
    --now.in_flight;
    if (!now.has_gradients[stage]) gradients += hold.gradients;
    now.has_gradients[stage] = true;
  };
  const auto step = [&](const Pass& p) {
    const auto stage = static_cast<std::size_t>(p.stage);
    const StageHold& hold = stages[stage];
    switch (p.kind) {
      case ActionKind::forward:
        now.saved += hold.saved;
        now.beside += hold.beside;
        ++now.held_of_stage[stage];
        ++now.in_flight;
        break;
      case ActionKind::input_gradient: now.beside += hold.split; break;
      case ActionKind::backward: return end(hold, stage, false);
      case ActionKind::weight_gradient: return end(hold, stage, true);
    }
    const Bytes held = now.saved + now.beside + gradients;
    if (held <= most) return;
    most = held;
    fullest = now;
  };
  for (const Action& a : actions) {
    step(a.first);
    if (a.second) step(*a.second);
  }
  return fullest;
}

}  // namespace trillion
