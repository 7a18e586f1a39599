// A simulated step as a profiler would have recorded it: a Chrome trace-event file for https://ui.perfetto.dev or chrome://tracing.
//
// One process per pipeline rank of the first simulated replica, one thread per stream, one complete event ("X")
// per kernel and communication, times in microseconds from the step's begin. Above the streams lie threads of annotations: the
// schedule's actions in its own grammar, "(3F7;12B2)", and the parts of each block under the names that DeepSeek-V3's published
// profile gives them: attn(F), dispatch(F), mlp(B), combine(F) ... so that the two can be opened side by side.
//
// Format: "Trace Event Format", Google, JSON object form with "traceEvents"; keys as torch.profiler writes them.
#pragma once

#include <string>
#include <vector>

#include "sim/estimate/traced_step.h"
#include "sim/spec/scenario.h"

namespace trillion {

// `ranks`: pipeline ranks to write; empty: all. REQUIRES: each is a rank of the schedule.
std::string chrome_trace(const Scenario& scenario, const TracedStep& step, const std::vector<std::int64_t>& ranks = {});

}  // namespace trillion
