// What a layout's step spends its time on, as shares of it: the reasons that separate neighbours in a ranking.
#pragma once

#include <vector>

#include "sim/planner/plan_search.h"

namespace trillion {

struct StepReasons {
  double bubble = 0;      // the slowest rank has nothing to run
  double exposed = 0;     // communication that nothing hides
  double recompute = 0;   // forward kernels run once more
  double below_peak = 0;  // matrix kernels beyond what their arithmetic takes at the BF16 peak: small or odd shapes; not in FP8: below 0
  double step_end = 0;    // optimizer and what it waits for
};
// `on`: the scenario on the layout's cluster.
StepReasons step_reasons(const Scenario& on, const Ranked& ranked);

// The best layout of each cluster and number of nodes, in the order of enumeration. Indices into `ranked`.
std::vector<std::size_t> best_by_size(const std::vector<Ranked>& ranked);

}  // namespace trillion
