// How fast a layout could be at best: a time that its simulated step never undercuts, at a thousandth of the cost.
//
//   1  work      all kernels of all stages, spread evenly over the pipeline ranks: needs no schedule and no cut
//   2  schedule  the schedule with every chunk at the time of its kernels alone and communication free (workload/schedule_ideal.h)
//
// Both on perfectly even expert load. The simulated step has the same kernels in the same order, and in addition communication,
// uneven load and the step's end; tasks that only start later never make a step shorter.
#pragma once

#include "sim/estimate/prepare.h"
#include "sim/planner/search_space.h"

namespace trillion {

// REQUIRES: the layout passes why_layout_impossible().
Seconds work_bound(const Scenario& with_layout, const Timing& timing);
Seconds schedule_bound(const Scenario& with_layout, const PreparedStep& step, const Timing& timing);

}  // namespace trillion
