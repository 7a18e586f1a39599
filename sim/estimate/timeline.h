// One pipeline rank's step as a sequence of moments: what runs, and where nothing runs, why.
//
// The compute stream decides. While it is busy, time belongs to the pass that it works for. While it is idle, time belongs to
// the communication that the rank has in flight, exchange first: that communication is exposed. Idle with nothing in flight but
// a neighbour's transfer, or nothing at all, is pipeline bubble.
#pragma once

#include <cstdint>

#include "sim/engine/engine.h"
#include "sim/estimate/step_result.h"
#include "sim/workload/lower.h"

namespace trillion {

struct RankTimeline {
  PhaseSeconds phases;  // adds up to the makespan
  ExposedSeconds exposed;
};

RankTimeline rank_timeline(const LoweredStep& step, const PipelineSchedule& schedule, const Trace& trace, std::int32_t gpu);

// Time that the compute stream of a simulated GPU is busy.
Seconds compute_busy(const LoweredStep& step, const Trace& trace, std::int32_t gpu);

}  // namespace trillion
