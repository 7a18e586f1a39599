#include "sim/workload/schedule_index.h"

#include "sim/base/error.h"

namespace trillion {

PassIndex::PassIndex(const PipelineSchedule& schedule) : stages_(schedule.stages), micro_batches_(schedule.micro_batches) {
  CHECK(stages_ >= 1 && micro_batches_ >= 1, "a schedule without stages or micro-batches");
  places_.resize(3 * static_cast<std::size_t>(stages_) * static_cast<std::size_t>(micro_batches_));
  for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    const auto& actions = schedule.ranks[rank];
    for (std::size_t position = 0; position < actions.size(); ++position) {
      const auto add = [&](const Pass& pass) {
        CHECK(pass.stage >= 0 && pass.stage < stages_ && pass.micro_batch >= 0 && pass.micro_batch < micro_batches_,
              "a pass outside the schedule's stages or micro-batches");
        PassPlace& place = places_[slot(pass)];
        CHECK(!place.exists(), "a pass is scheduled twice");
        place = {static_cast<std::int32_t>(rank), static_cast<std::int32_t>(position)};
      };
      add(actions[position].first);
      if (actions[position].second) add(*actions[position].second);
    }
  }
}

std::int32_t PassIndex::rank_of(std::int32_t stage, std::int32_t micro_batch) const {
  const PassPlace place = find({ActionKind::forward, stage, micro_batch});
  CHECK(place.exists(), "no rank runs this stage for this micro-batch");
  return place.rank;
}

PassDependencies PassIndex::dependencies(const Pass& pass) const {
  const auto [kind, stage, micro_batch] = pass;
  switch (kind) {
    case ActionKind::forward:
      if (stage == 0) return {};
      return {{Pass{ActionKind::forward, stage - 1, micro_batch}}, 1};
    case ActionKind::backward:
    case ActionKind::input_gradient: {
      const Pass own{ActionKind::forward, stage, micro_batch};
      if (stage + 1 == stages_) return {{own}, 1};
      return {{own, Pass{ActionKind::backward, stage + 1, micro_batch}}, 2};
    }
    case ActionKind::weight_gradient: return {{Pass{ActionKind::input_gradient, stage, micro_batch}}, 1};
  }
  CHECK(false, "unknown kind of pass");
}

std::size_t PassIndex::slot(const Pass& pass) const {
  std::size_t table = 0;
  if (pass.kind == ActionKind::backward || pass.kind == ActionKind::input_gradient) table = 1;
  if (pass.kind == ActionKind::weight_gradient) table = 2;
  const std::size_t row = table * static_cast<std::size_t>(stages_) + static_cast<std::size_t>(pass.stage);
  return row * static_cast<std::size_t>(micro_batches_) + static_cast<std::size_t>(pass.micro_batch);
}

}  // namespace trillion
