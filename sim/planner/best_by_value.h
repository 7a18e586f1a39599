// The best layout of each value of each axis that a search left open: what a choice costs if all others are made well.
//
//   schedule   1f1b 177K, dualpipe +1.9 %, zb-v +6.2 %, gpipe none fits
//
// Over every layout that was enumerated. What was simulated counts with its time; what was not, since it could not be among the best, with
// its screened time, or its bound where it has none (PlanSearch::looked_at()).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/planner/plan_search.h"

namespace trillion {

struct BestOfValue {
  std::string value;             // as `search:` spells it
  std::optional<LookedAt> best;  // empty: none fits
};

struct AxisBests {
  std::string axis;                 // as `search:` names it
  std::vector<BestOfValue> values;  // the best first, what does not fit last; at least two
};

// "schedule 1f1b", "nodes 256": what a layout has of each axis that concerns it, and its cluster and size together.
std::vector<std::string> axis_values(const Layout& layout);

std::vector<AxisBests> best_by_value(const Scenario& scenario, const PlanSearch& search);

// Of what was simulated, the best of every value of every axis; indices into ranked(), ascending, none twice, ranked().front() among them.
std::vector<std::size_t> best_simulated_by_value(const PlanSearch& search);

}  // namespace trillion
