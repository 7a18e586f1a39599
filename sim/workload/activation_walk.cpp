#include "sim/workload/activation_walk.h"

#include <cstddef>

namespace trillion {

namespace {

// What is held after the passes so far.
class Walk {
 public:
  explicit Walk(const std::vector<StageHold>& stages) : stages_(stages) {
    now_.held_of_stage.resize(stages.size());
    now_.has_gradients.resize(stages.size());
  }

  // Whether more may be held after it than before.
  bool take(const Pass& p) {
    const auto stage = static_cast<std::size_t>(p.stage);
    const StageHold& hold = stages_[stage];
    switch (p.kind) {
      case ActionKind::forward:
        now_.saved += hold.saved;
        now_.beside += hold.beside;
        ++now_.held_of_stage[stage];
        ++now_.in_flight;
        return true;
      case ActionKind::input_gradient: now_.beside += hold.split; return true;
      case ActionKind::backward: end(stage, false); break;
      case ActionKind::weight_gradient: end(stage, true); break;
    }
    return false;
  }

  Bytes held() const { return now_.saved + now_.beside + gradients_; }
  const FullestMoment& now() const { return now_; }

 private:
  void end(std::size_t stage, bool split) {
    const StageHold& hold = stages_[stage];
    now_.saved -= hold.saved;
    now_.beside -= hold.beside + (split ? hold.split : Bytes{});
    --now_.held_of_stage[stage];
    --now_.in_flight;
    if (!now_.has_gradients[stage]) gradients_ += hold.gradients;
    now_.has_gradients[stage] = true;
  }

  const std::vector<StageHold>& stages_;
  FullestMoment now_;
  Bytes gradients_;
};

std::vector<Pass> passes_of(const std::vector<Action>& actions) {
  std::vector<Pass> passes;
  passes.reserve(2 * actions.size());
  for (const Action& a : actions) {
    passes.push_back(a.first);
    if (a.second) passes.push_back(*a.second);
  }
  return passes;
}

}  // namespace

// Walked twice, to find the moment and to stop there: dearer to copy each moment that is fuller than all before.
FullestMoment fullest_moment(const std::vector<Action>& actions, const std::vector<StageHold>& stages) {
  const std::vector<Pass> passes = passes_of(actions);
  Walk all(stages);
  Bytes most;
  std::size_t fullest = 0;  // passes until then
  for (std::size_t i = 0; i < passes.size(); ++i) {
    if (!all.take(passes[i]) || all.held() <= most) continue;
    most = all.held();
    fullest = i + 1;
  }
  Walk until(stages);
  for (std::size_t i = 0; i < fullest; ++i) until.take(passes[i]);
  return until.now();
}

}  // namespace trillion
