// What a search minimises.
//
// Of the whole run, or of a trillion tokens where training.tokens is 0: GPU-hours, USD or days, as search.objective says. Whoever keeps
// budget and deadline comes before all who do not; those come by how much they are beyond.
#pragma once

#include <compare>
#include <cstdint>

#include "sim/spec/scenario.h"

namespace trillion {

struct Score {
  double beyond = 0;  // relative
  double value = 0;   // GPU-hours, USD or days
  friend auto operator<=>(const Score&, const Score&) = default;
};

// Whether at most `reach` times the best, and as near to budget and deadline.
inline bool within_reach(const Score& mine, const Score& best, double reach) {
  return mine.beyond <= best.beyond && mine.value <= reach * best.value;
}

// Of a step that takes so long on `nodes` of the scenario's cluster, at `dearer` times its price.
Score score_of(const Scenario& on, std::int64_t nodes, Seconds step_time, double dearer = 1);

}  // namespace trillion
