#include "sim/engine/trace_statistics.h"

#include <algorithm>

namespace trillion {

Intervals busy(const TaskGraph& graph, const Trace& trace, std::span<const StreamId> streams) {
  return busy(graph, trace, streams, [](const TaskKind&) { return true; });
}

Intervals busy(const TaskGraph& graph, const Trace& trace, std::span<const StreamId> streams,
               const std::function<bool(const TaskKind&)>& chosen) {
  std::vector<char> wanted(graph.kind_count());
  for (std::uint32_t k = 0; k < graph.kind_count(); ++k) wanted[k] = chosen(graph.kind(KindId{k})) ? 1 : 0;
  Intervals out;
  for (const StreamId stream : streams) {
    const std::size_t first = out.size();
    for (const TaskId task : graph.tasks_of(stream)) {
      if (wanted[graph.kind_id_of(task).value] == 0) continue;
      const SimTime start = trace.start[task.value], end = trace.end[task.value];
      if (out.size() > first && out.back().end == start) {
        out.back().end = end;
      } else {
        out.push_back({start, end});
      }
    }
  }
  return merged(std::move(out));
}

SimTime busy_time(const TaskGraph& graph, const Trace& trace, StreamId stream) {
  SimTime sum;
  for (const TaskId task : graph.tasks_of(stream)) sum += trace.end[task.value] - trace.start[task.value];
  return sum;
}

std::vector<SimTime> time_per_kind(const TaskGraph& graph, const Trace& trace) {
  std::vector<SimTime> out(graph.kind_count());
  for (std::uint32_t t = 0; t < graph.task_count(); ++t) out[graph.kind_id_of(TaskId{t}).value] += trace.end[t] - trace.start[t];
  return out;
}

Intervals merged(Intervals intervals) {
  std::sort(intervals.begin(), intervals.end(), [](const Interval& a, const Interval& b) { return a.start < b.start; });
  Intervals out;
  for (const Interval& interval : intervals) {
    if (interval.start >= interval.end) continue;
    if (!out.empty() && interval.start <= out.back().end) {
      out.back().end = std::max(out.back().end, interval.end);
    } else {
      out.push_back(interval);
    }
  }
  return out;
}

Intervals either(const Intervals& a, const Intervals& b) {
  Intervals all = a;
  all.insert(all.end(), b.begin(), b.end());
  return merged(std::move(all));
}

Intervals both(const Intervals& a, const Intervals& b) {
  Intervals out;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const Interval common{std::max(a[i].start, b[j].start), std::min(a[i].end, b[j].end)};
    if (common.start < common.end) out.push_back(common);
    (a[i].end < b[j].end ? i : j) += 1;
  }
  return out;
}

Intervals without(const Intervals& a, const Intervals& b) {
  Intervals out;
  std::size_t j = 0;
  for (Interval rest : a) {
    while (j < b.size() && b[j].end <= rest.start) ++j;
    for (std::size_t k = j; k < b.size() && b[k].start < rest.end; ++k) {
      if (rest.start < b[k].start) out.push_back({rest.start, b[k].start});
      rest.start = std::max(rest.start, b[k].end);
    }
    if (rest.start < rest.end) out.push_back(rest);
  }
  return out;
}

SimTime total(const Intervals& intervals) {
  SimTime sum;
  for (const Interval& interval : intervals) sum += interval.end - interval.start;
  return sum;
}

}  // namespace trillion
