// Who was busy when: sets of time intervals from a trace, and their algebra.
//
// Exposed communication, for example, is the time in which a rank communicates and does not compute:
//
//   total(without(busy(graph, trace, comm_streams), busy(graph, trace, compute_streams)))
//
// An interval set is sorted, its intervals are not empty and do not touch or overlap.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "sim/engine/engine.h"

namespace trillion {

// [start, end)
struct Interval {
  SimTime start, end;
  friend bool operator==(const Interval&, const Interval&) = default;
};
using Intervals = std::vector<Interval>;

// When at least one of the streams runs a task.
Intervals busy(const TaskGraph& graph, const Trace& trace, std::span<const StreamId> streams);

// ... a task whose kind is chosen; asked once per kind.
Intervals busy(const TaskGraph& graph, const Trace& trace, std::span<const StreamId> streams,
               const std::function<bool(const TaskKind&)>& chosen);

// Time in which the stream runs a task; tasks of one stream never overlap.
SimTime busy_time(const TaskGraph& graph, const Trace& trace, StreamId stream);

// Per kind, summed over all tasks: where the time goes, before any overlap.
std::vector<SimTime> time_per_kind(const TaskGraph& graph, const Trace& trace);

// Any intervals, in any order, made into a set.
Intervals merged(Intervals intervals);
Intervals either(const Intervals& a, const Intervals& b);
Intervals both(const Intervals& a, const Intervals& b);
Intervals without(const Intervals& a, const Intervals& b);
SimTime total(const Intervals& intervals);

}  // namespace trillion
