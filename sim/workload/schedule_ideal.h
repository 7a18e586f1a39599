// A schedule under the idealisation of its paper: every pass takes a given time, communication takes none. This is where the
// published bubble formulas hold exactly, and a lower bound of any step time with the same pass times.
//
//   start of an action = max(end of the rank's previous action, ends of all passes it waits for)
//
// Example, 1F1B on 4 ranks with 8 micro-batches, T_F = T_I = T_W = 1: makespan 33 = 8 * 3 + (4 - 1) * 3.
#pragma once

#include <vector>

#include "sim/workload/schedule.h"

namespace trillion {

// Times of one micro-batch through one stage, in any unit.
struct StageTimes {
  double forward = 1;
  double input_gradient = 1;
  double weight_gradient = 1;
  double of(ActionKind kind) const;  // a whole backward is both gradients
};

struct IdealTimes {
  std::vector<StageTimes> stages;  // one per stage
  double pair_ratio = 1;           // an overlapped pair over the sum of its two passes
};

struct IdealRank {
  double start = 0, end = 0;  // of its first and last action
  double busy = 0;            // sum of its actions
  double idle_within() const { return end - start - busy; }
};

struct IdealRun {
  std::vector<IdealRank> ranks;
  double makespan = 0;
  // Bubble of a rank between the step's common start and end: waiting before, within and after its own span.
  double bubble(std::size_t rank) const { return makespan - ranks[rank].busy; }
};

// REQUIRES: !find_deadlock(schedule), one StageTimes per stage.
IdealRun ideal_run(const PipelineSchedule& schedule, const IdealTimes& times);

}  // namespace trillion
