// Explains a graph that cannot go on: the head of every blocked stream and what it waits for.
//
//   the graph is stuck after 5 of 9 tasks; 2 streams are blocked:
//     stream "rank 0 comm": "send" (task 5) waits at rendezvous 0 for "recv" (task 8), which is behind "recv" (task 7) on stream "rank 1
//     comm" stream "rank 1 comm": "recv" (task 7) waits for "gemm" (task 6) on stream "rank 0 compute"
#pragma once

#include <string>

#include "sim/engine/engine.h"

namespace trillion {

// `trace` holds kNotYet as the end of every task that has not ended.
inline constexpr SimTime kNotYet{-1};

std::string describe_stuck(const TaskGraph& graph, const Trace& trace);

}  // namespace trillion
