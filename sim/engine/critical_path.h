// Why a run took as long as it did: the chain of tasks that ends at the makespan and has no gap in it.
//
// In this engine a task starts exactly when the last thing it waits for ends, so walking backwards from the task that ends last,
// always to what ended at the start of the one at hand, reaches time 0. Where several ended at that instant, the task's own
// stream comes first (it was busy), then its dependencies in their order, then the other members of its rendezvous; a transfer that
// had to wait for a kernel of its device goes on with that kernel.
//
//   for (const CriticalStep& step : critical_path(graph, trace)) ...   // in the order of time
//
// The steps cover [0, makespan] without overlap: sum over steps of (end - start) == makespan.
#pragma once

#include <vector>

#include "sim/engine/engine.h"

namespace trillion {

enum class StartReason {
  none,        // it started at time 0
  stream,      // the previous task of its stream ended
  dependency,  // a dependency ended
  rendezvous,  // another member was the last to arrive; the chain goes on with what that one had waited for
  device,      // a kernel that held the device ended
};

struct CriticalStep {
  TaskId task;
  StartReason reason = StartReason::none;
  TaskId last_member;  // with `rendezvous`: the member that came last
  SimTime start, end;
  SimTime shared;  // how much longer it took than the durations of its kinds, because links were shared or slow
};

// REQUIRES: `trace` is run(graph). Empty for an empty graph.
std::vector<CriticalStep> critical_path(const TaskGraph& graph, const Trace& trace);

}  // namespace trillion
