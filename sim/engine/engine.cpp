#include "sim/engine/engine.h"

#include <algorithm>
#include <functional>

#include "sim/base/error.h"
#include "sim/engine/stuck_graph.h"

namespace trillion {

namespace {

class Simulation {
 public:
  explicit Simulation(const TaskGraph& graph) : graph_(graph), streams_(graph.stream_count()), gatherings_(graph.rendezvous_count()) {
    for (std::uint32_t s = 0; s < streams_.size(); ++s) streams_[s].head = graph_.first_of(StreamId{s});
    durations_.reserve(graph.kind_count());
    for (std::uint32_t k = 0; k < graph.kind_count(); ++k) durations_.push_back(graph.kind(KindId{k}).duration);
    trace_.start.assign(graph.task_count(), kNotYet);
    trace_.end.assign(graph.task_count(), kNotYet);
  }

  Trace run() {
    for (std::uint32_t s = 0; s < streams_.size(); ++s) {
      runnable_.push_back(s);
      advance_runnable();
    }
    if (ended_ != graph_.task_count()) throw StuckGraph(describe_stuck(graph_, trace_));
    trace_.events = ended_;
    return std::move(trace_);
  }

 private:
  static constexpr std::uint32_t kNone = 0xffffffffu;

  // Only the head of a stream can be blocked, so everything about waiting lives here and nothing in the tasks.
  struct Stream {
    TaskId head;
    std::uint32_t dependencies_met = 0;  // so many of the head's dependencies are known to have ended
    SimTime ready;                       // when the head could start, by what is known
    std::uint32_t next_arrived = kNone;  // chain of the streams whose heads have arrived at the same rendezvous
    // Who waits for tasks of this stream: a min-heap of (task << 32 | waiting stream).
    std::vector<std::uint64_t> waiters;
  };

  struct Gathering {
    SimTime ready;
    std::uint32_t arrived = 0;
    std::uint32_t first_arrived = kNone;
  };

  void advance_runnable() {
    while (!runnable_.empty()) {
      const std::uint32_t s = runnable_.back();
      runnable_.pop_back();
      advance(s);
    }
  }

  // Runs the stream as far ahead as ends are known.
  void advance(std::uint32_t s) {
    Stream& stream = streams_[s];
    while (stream.head.valid() && dependencies_met(s)) {
      const TaskId task = stream.head;
      if (const RendezvousId id = graph_.rendezvous_of(task); id.valid()) return arrive(s, id);
      trace_.start[task.value] = stream.ready;
      finish(s, stream.ready + durations_[graph_.kind_id_of(task).value]);
    }
  }

  bool dependencies_met(std::uint32_t s) {
    Stream& stream = streams_[s];
    const std::span<const TaskId> dependencies = graph_.dependencies(stream.head);
    for (; stream.dependencies_met < dependencies.size(); ++stream.dependencies_met) {
      const TaskId dependency = dependencies[stream.dependencies_met];
      const SimTime end = trace_.end[dependency.value];
      if (end == kNotYet) {
        std::vector<std::uint64_t>& waiters = streams_[graph_.stream_of(dependency).value].waiters;
        waiters.push_back(std::uint64_t{dependency.value} << 32 | s);
        std::push_heap(waiters.begin(), waiters.end(), std::greater<>{});
        return false;
      }
      stream.ready = std::max(stream.ready, end);
    }
    return true;
  }

  void arrive(std::uint32_t s, RendezvousId id) {
    Gathering& gathering = gatherings_[id.value];
    streams_[s].next_arrived = gathering.first_arrived;
    gathering.first_arrived = s;
    gathering.ready = std::max(gathering.ready, streams_[s].ready);
    if (++gathering.arrived < graph_.member_count(id)) return;
    SimTime longest;
    for (std::uint32_t m = s; m != kNone; m = streams_[m].next_arrived) {
      trace_.start[streams_[m].head.value] = gathering.ready;
      longest = std::max(longest, durations_[graph_.kind_id_of(streams_[m].head).value]);
    }
    finish_group(s, gathering.ready + longest);
  }

  void finish_group(std::uint32_t first, SimTime end) {
    for (std::uint32_t m = first; m != kNone;) {
      const std::uint32_t next = streams_[m].next_arrived;
      streams_[m].next_arrived = kNone;
      finish(m, end);
      runnable_.push_back(m);
      m = next;
    }
  }

  void finish(std::uint32_t s, SimTime end) {
    Stream& stream = streams_[s];
    const TaskId task = stream.head;
    trace_.end[task.value] = end;
    trace_.makespan = std::max(trace_.makespan, end);
    ++ended_;
    stream.head = graph_.next_in_stream(task);
    stream.ready = end;
    stream.dependencies_met = 0;
    while (!stream.waiters.empty() && stream.waiters.front() >> 32 == task.value) {
      runnable_.push_back(static_cast<std::uint32_t>(stream.waiters.front()));
      std::pop_heap(stream.waiters.begin(), stream.waiters.end(), std::greater<>{});
      stream.waiters.pop_back();
    }
  }

  const TaskGraph& graph_;
  std::vector<SimTime> durations_;  // per kind
  std::vector<Stream> streams_;
  std::vector<Gathering> gatherings_;
  std::vector<std::uint32_t> runnable_;
  Trace trace_;
  std::size_t ended_ = 0;
};

}  // namespace

Trace run(const TaskGraph& graph) {
  for (std::uint32_t k = 0; k < graph.kind_count(); ++k) {
    CHECK(graph.kind(KindId{k}).links.empty(), "tasks that use links are not supported yet");
  }
  return Simulation(graph).run();
}

}  // namespace trillion
