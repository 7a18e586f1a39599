#include "sim/engine/critical_path.h"

#include <algorithm>
#include <map>

#include "sim/base/error.h"

namespace trillion {

namespace {

class Walk {
 public:
  Walk(const TaskGraph& graph, const Trace& trace) : graph_(graph), trace_(trace), previous_(graph.task_count()) {
    members_begin_.assign(graph.rendezvous_count() + 1, 0);
    for (std::uint32_t r = 0; r < graph.rendezvous_count(); ++r) {
      members_begin_[r + 1] = members_begin_[r] + graph.member_count(RendezvousId{r});
    }
    members_.resize(members_begin_.back());
    for (const Trace::HeldUp& h : trace.held_up) held_up_.emplace(h.transfer, h.kernel);
    std::vector<std::uint32_t> filled(members_begin_.begin(), members_begin_.end() - 1);
    for (std::uint32_t t = 0; t < graph.task_count(); ++t) {
      const TaskId task{t};
      if (const TaskId next = graph.next_in_stream(task); next.valid()) previous_[next.value] = task;
      if (const RendezvousId id = graph.rendezvous_of(task); id.valid()) members_[filled[id.value]++] = task;
    }
  }

  std::vector<CriticalStep> steps() const {
    std::vector<CriticalStep> out;
    const auto last = std::max_element(trace_.end.begin(), trace_.end.end());
    TaskId task = last == trace_.end.end() ? TaskId{} : TaskId{static_cast<std::uint32_t>(last - trace_.end.begin())};
    while (task.valid()) {
      CriticalStep step = describe(task);
      task = predecessor(step);
      out.push_back(step);
    }
    std::reverse(out.begin(), out.end());
    return out;
  }

 private:
  std::span<const TaskId> members(TaskId task) const {
    const RendezvousId id = graph_.rendezvous_of(task);
    if (!id.valid()) return {};
    return {members_.data() + members_begin_[id.value], members_begin_[id.value + 1] - members_begin_[id.value]};
  }

  CriticalStep describe(TaskId task) const {
    SimTime alone = graph_.kind_of(task).duration;
    for (const TaskId member : members(task)) alone = std::max(alone, graph_.kind_of(member).duration);
    const SimTime start = trace_.start[task.value], end = trace_.end[task.value];
    return {task, StartReason::none, {}, start, end, end - start - alone};
  }

  // Fills in the reason; not valid() at the beginning of time.
  TaskId predecessor(CriticalStep& step) const {
    if (const Found own = ended_at(step.task, step.start); own.task.valid()) {
      step.reason = own.reason;
      return own.task;
    }
    for (const TaskId member : members(step.task)) {
      const Found found = ended_at(member, step.start);
      if (!found.task.valid()) continue;
      step.reason = StartReason::rendezvous;
      step.last_member = member;
      return found.task;
    }
    for (const TaskId member : members(step.task)) {
      if (const TaskId kernel = holder(member); kernel.valid()) return step.reason = StartReason::device, kernel;
    }
    if (const TaskId kernel = holder(step.task); kernel.valid()) return step.reason = StartReason::device, kernel;
    CHECK(step.start == SimTime{0}, "a task started although nothing that it waits for had just ended");
    return {};
  }

  TaskId holder(TaskId transfer) const {
    const auto found = held_up_.find(transfer);
    return found == held_up_.end() ? TaskId{} : found->second;
  }

  struct Found {
    TaskId task;
    StartReason reason;
  };
  Found ended_at(TaskId task, SimTime time) const {
    if (const TaskId before = previous_[task.value]; before.valid() && trace_.end[before.value] == time)
      return {before, StartReason::stream};
    for (const TaskId dependency : graph_.dependencies(task)) {
      if (trace_.end[dependency.value] == time) return {dependency, StartReason::dependency};
    }
    return {{}, StartReason::none};
  }

  const TaskGraph& graph_;
  const Trace& trace_;
  std::vector<TaskId> previous_;  // on the same stream
  std::map<TaskId, TaskId> held_up_;
  std::vector<std::uint32_t> members_begin_;
  std::vector<TaskId> members_;  // of each rendezvous, one after the other
};

}  // namespace

std::vector<CriticalStep> critical_path(const TaskGraph& graph, const Trace& trace) { return Walk(graph, trace).steps(); }

}  // namespace trillion
