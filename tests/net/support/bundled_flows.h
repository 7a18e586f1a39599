#pragma once

#include <cstdint>
#include <vector>

#include "sim/net/fluid_bundles.h"

namespace trillion::testing_support {

// Two flows over NVLinks 0 and 1 of 30 into one NIC (2) of 10, and one that stays on NVLink 0.
inline FluidProblem two_senders() {
  FluidProblem p;
  p.capacities = {30, 30, 10};
  const auto path = [&](std::vector<FluidProblem::Use> uses) { return p.add_path(uses); };
  p.flows = {{path({{0, 1}, {2, 1}}), 40}, {path({{1, 1}, {2, 1}}), 20}, {path({{0, 1}}), 100}};
  return p;
}

// Bundle b moves at rates[b], held by its first link.
inline void set_rates(FluidBundles& state, const std::vector<double>& rates) {
  for (std::uint32_t b = 0; b < rates.size(); ++b) {
    state.holders[b] = state.uses_of(b).front().link;
    state.levels[state.holders[b]] = rates[b];
  }
}

}  // namespace trillion::testing_support
