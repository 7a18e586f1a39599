#include "sim/estimate/timeline.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "sim/base/error.h"

namespace trillion {

namespace {

enum class Phase : std::uint8_t { forward, backward, weight, forward_backward, optimizer, bubble };

struct Interval {
  SimTime start, end;
  Phase phase = Phase::bubble;
  Category category = Category::norm_and_elementwise;
  bool straggler = false;  // the others of a collective are waited for
};

Phase phase_of(const Action& action) {
  if (action.second) return Phase::forward_backward;
  switch (action.first.kind) {
    case ActionKind::forward: return Phase::forward;
    case ActionKind::backward:
    case ActionKind::input_gradient: return Phase::backward;
    case ActionKind::weight_gradient: return Phase::weight;
  }
  return Phase::bubble;
}

// Which action a rank's task belongs to; tasks are asked for in ascending order of id.
class PhaseFinder {
 public:
  PhaseFinder(const LoweredStep& step, const PipelineSchedule& schedule, std::int32_t gpu) : step_end_(step.step_end) {
    for (const ActionSpan& s : step.spans) {
      if (s.gpu == gpu)
        spans_.push_back(
            {s.end, phase_of(schedule.ranks[static_cast<std::size_t>(gpu / step.replicas)][static_cast<std::size_t>(s.position)])});
    }
  }
  Phase next(TaskId task) {
    if (task >= step_end_) return Phase::optimizer;
    while (at_ < spans_.size() && task >= spans_[at_].end) ++at_;
    CHECK(at_ < spans_.size());
    return spans_[at_].phase;
  }

 private:
  struct Span {
    TaskId end;
    Phase phase;
  };
  std::vector<Span> spans_;
  std::size_t at_ = 0;
  TaskId step_end_;
};

// When the task could have started by itself: its stream and its dependencies had ended.
class ReadyTimes {
 public:
  ReadyTimes(const TaskGraph& graph, const Trace& trace) : graph_(graph), trace_(trace) {}
  // Tasks of one stream in order.
  SimTime next(TaskId task) {
    SimTime ready = previous_end_;
    for (const TaskId d : graph_.dependencies(task)) ready = std::max(ready, trace_.end[d.value]);
    previous_end_ = trace_.end[task.value];
    return ready;
  }

 private:
  const TaskGraph& graph_;
  const Trace& trace_;
  SimTime previous_end_;
};

std::vector<Interval> intervals(const LoweredStep& step, const PipelineSchedule& schedule, const Trace& trace, std::int32_t gpu,
                                Lane lane) {
  PhaseFinder finder(step, schedule, gpu);
  ReadyTimes ready_times(step.graph, trace);
  const bool meets = lane == Lane::expert || lane == Lane::tensor || lane == Lane::context;
  std::vector<Interval> out;
  for (const TaskId t : step.graph.tasks_of(step.streams[static_cast<std::size_t>(gpu)][static_cast<std::size_t>(lane)])) {
    const auto category = static_cast<Category>(step.graph.kind_of(t).tag);
    const Phase phase = finder.next(t);
    if (const SimTime ready = ready_times.next(t); meets && ready < trace.start[t.value]) {
      out.push_back({ready, trace.start[t.value], phase, category, true});
    }
    out.push_back({trace.start[t.value], trace.end[t.value], phase, category});
  }
  return out;
}

// Transfers on their way to this rank, found as what its tasks depend on.
std::vector<Interval> incoming(const LoweredStep& step, const Trace& trace, std::int32_t gpu) {
  std::vector<Interval> out;
  const auto& own = step.streams[static_cast<std::size_t>(gpu)];
  for (const Lane lane : {Lane::compute, Lane::expert, Lane::tensor, Lane::context}) {
    for (const TaskId t : step.graph.tasks_of(own[static_cast<std::size_t>(lane)])) {
      for (const TaskId d : step.graph.dependencies(t)) {
        if (static_cast<Category>(step.graph.kind_of(d).tag) != Category::pipeline_p2p) continue;
        out.push_back({trace.start[d.value], trace.end[d.value], Phase::bubble, Category::pipeline_p2p});
      }
    }
  }
  std::sort(out.begin(), out.end(), [](const Interval& a, const Interval& b) { return a.start < b.start; });
  // Two transfers may be under way at once; cut the later one to what it adds.
  SimTime reached;
  for (Interval& i : out) {
    i.start = std::max(i.start, reached);
    i.end = std::max(i.end, i.start);
    reached = i.end;
  }
  return out;
}

class Account {
 public:
  void add(Phase phase, SimTime span) {
    const Seconds t = span.seconds();
    switch (phase) {
      case Phase::forward: result.phases.forward += t; break;
      case Phase::backward: result.phases.backward += t; break;
      case Phase::weight: result.phases.weight += t; break;
      case Phase::forward_backward: result.phases.forward_backward += t; break;
      case Phase::optimizer: result.phases.optimizer += t; break;
      case Phase::bubble: result.phases.bubble += t; break;
    }
  }
  void expose(const Interval& interval, SimTime span) {
    const Seconds t = span.seconds();
    ExposedSeconds& e = result.exposed;
    if (interval.straggler) {
      e.straggler += t;
      return;
    }
    switch (interval.category) {
      case Category::expert_all_to_all: e.expert_all_to_all += t; break;
      case Category::pipeline_p2p: e.pipeline_p2p += t; break;
      case Category::tensor_parallel: e.tensor_parallel += t; break;
      case Category::context_parallel: e.context_parallel += t; break;
      case Category::gradient_reduce: e.gradient_reduce += t; break;
      case Category::parameter_gather: e.parameter_gather += t; break;
      case Category::host_offload: e.host_offload += t; break;
      default: break;
    }
  }
  RankTimeline result;
};

// Sources of communication by falling priority; each is a list of disjoint intervals in order, read once from the front.
class Communication {
 public:
  explicit Communication(std::array<std::vector<Interval>, 9> sources) : sources_(std::move(sources)) {}

  // Charges the idle time [from, to) to what was in flight.
  void charge(SimTime from, SimTime to, bool chunks_done, Account& account) {
    while (from < to) {
      const Interval* active = nullptr;
      SimTime until = to;
      for (std::size_t s = 0; s < sources_.size() && !active; ++s) {
        std::size_t& at = at_[s];
        while (at < sources_[s].size() && sources_[s][at].end <= from) ++at;
        if (at == sources_[s].size()) continue;
        const Interval& i = sources_[s][at];
        if (i.start > from) {
          until = std::min(until, i.start);
        } else if (counts(i, chunks_done)) {
          active = &i;
          until = std::min(until, i.end);
        } else {
          until = std::min(until, i.end);
        }
      }
      const SimTime span = until - from;
      if (active) account.expose(*active, span);
      const bool synchronises = active && is_data_parallel(active->category) && chunks_done;
      account.add(!active ? Phase::bubble : synchronises ? Phase::optimizer : active->phase, span);
      from = until;
    }
  }

 private:
  static bool is_data_parallel(Category c) { return c == Category::gradient_reduce || c == Category::parameter_gather; }
  // Gradients on the wire while the pipeline drains cost nothing: the rank waits for its neighbours, not for them.
  static bool counts(const Interval& i, bool chunks_done) { return i.category != Category::gradient_reduce || chunks_done; }

  std::array<std::vector<Interval>, 9> sources_;
  std::array<std::size_t, 9> at_{};
};

}  // namespace

RankTimeline rank_timeline(const LoweredStep& step, const PipelineSchedule& schedule, const Trace& trace, std::int32_t gpu) {
  const auto of = [&](Lane lane) { return intervals(step, schedule, trace, gpu, lane); };
  Communication communication({of(Lane::expert), of(Lane::tensor), of(Lane::context), of(Lane::gather), of(Lane::reduce), of(Lane::host_in),
                               of(Lane::host_update), of(Lane::host_out), incoming(step, trace, gpu)});
  const std::vector<Interval> compute = of(Lane::compute);
  Account account;
  SimTime now;
  for (std::size_t i = 0; i < compute.size(); ++i) {
    const bool chunks_done = compute[i].phase == Phase::optimizer;
    if (now < compute[i].start) communication.charge(now, compute[i].start, chunks_done, account);
    account.add(compute[i].phase, compute[i].end - compute[i].start);
    now = compute[i].end;
  }
  if (now < trace.makespan) communication.charge(now, trace.makespan, true, account);
  return account.result;
}

Seconds compute_busy(const LoweredStep& step, const Trace& trace, std::int32_t gpu) {
  Seconds busy;
  for (const TaskId t : step.graph.tasks_of(step.streams[static_cast<std::size_t>(gpu)][static_cast<std::size_t>(Lane::compute)])) {
    busy += (trace.end[t.value] - trace.start[t.value]).seconds();
  }
  return busy;
}

}  // namespace trillion
