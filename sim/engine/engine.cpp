#include "sim/engine/engine.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "sim/base/error.h"
#include "sim/engine/event_queue.h"
#include "sim/engine/flow_set.h"
#include "sim/engine/huge_pages.h"
#include "sim/engine/stuck_graph.h"

namespace trillion {

namespace {

std::vector<double> link_capacities(const TaskGraph& graph) {
  std::vector<double> out;
  for (std::uint32_t l = 0; l < graph.link_count(); ++l) out.push_back(graph.link_capacity(LinkId{l}).value());
  return out;
}

// Only flows need a clock: where nothing shares a link, the end of a task is known with its start, so a stream runs ahead until
// its head needs an end that is not known yet. The starts and ends of flows go through the event queue in the order of time.
// A flow lives in the slot of one of its streams, its lead.
class Simulation {
 public:
  explicit Simulation(const TaskGraph& graph)
      : graph_(graph),
        streams_(graph.stream_count()),
        gatherings_(graph.rendezvous_count()),
        events_(graph.stream_count()),
        flows_(link_capacities(graph), graph.stream_count(), graph.device_count()),
        holds_(graph.stream_count()) {
    for (std::uint32_t s = 0; s < streams_.size(); ++s) streams_[s].head = graph_.first_of(StreamId{s});
    paces_.reserve(graph.kind_count());
    for (std::uint32_t k = 0; k < graph.kind_count(); ++k) {
      const TaskKind& kind = graph.kind(KindId{k});
      const bool moves = std::any_of(kind.links.begin(), kind.links.end(), [](const LinkUse& use) { return use.bytes.value() > 0; });
      const bool shares = kind.side != Side::none && kind.duration > SimTime{};
      paces_.push_back({kind.duration, moves || shares, kind.side});
    }
    moved_.assign(graph.kind_count(), 0);
    for (std::vector<SimTime>* times : {&trace_.start, &trace_.end}) {
      reserve_large(*times, graph.task_count());
      times->assign(graph.task_count(), kNotYet);
    }
  }

  Trace run() {
    for (std::uint32_t s = 0; s < streams_.size(); ++s) runnable_.push_back(s);
    advance_runnable();
    while (!events_.empty()) apply_instant(events_.next_time());
    if (ended_ != graph_.task_count()) throw StuckGraph(describe_stuck(graph_, trace_));
    trace_.events += ended_;
    sum_link_bytes();
    return std::move(trace_);
  }

 private:
  static constexpr std::uint32_t kNone = 0xffffffffu;
  static constexpr std::uint64_t kWindow = 1 << 14;  // tasks: their rows, times and dependencies fit into a core's own cache

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

  struct Pace {
    SimTime duration;
    bool flows = false;  // others may slow it down
    Side side = Side::none;
  };

  // What a kernel holds up, and what holds up a transfer; both by stream.
  struct Hold {
    std::vector<std::uint32_t> transfers;  // leads that wait for the kernel at work here
    std::uint32_t kernels = 0;             // that the transfer led here still waits for
  };

  // Graphs are built more or less in the order of time, so all streams run up to a common horizon of task ids before any goes
  // on: what they touch then lies together in memory. The result does not depend on it.
  void advance_runnable() {
    for (;;) {
      while (!runnable_.empty()) {
        const std::uint32_t s = runnable_.back();
        runnable_.pop_back();
        advance(s);
      }
      if (at_horizon_.empty()) return;
      std::uint32_t nearest = kNone;
      for (const std::uint32_t s : at_horizon_) nearest = std::min(nearest, streams_[s].head.value);
      horizon_ = std::uint64_t{nearest} + kWindow;
      runnable_.swap(at_horizon_);
    }
  }

  // Runs the stream as far ahead as ends are known.
  void advance(std::uint32_t s) {
    Stream& stream = streams_[s];
    while (stream.head.valid() && dependencies_met(s)) {
      const TaskId task = stream.head;
      if (task.value >= horizon_) return at_horizon_.push_back(s);
      if (const RendezvousId id = graph_.rendezvous_of(task); id.valid()) return arrive(s, id);
      const Pace& pace = paces_[graph_.kind_id_of(task).value];
      if (pace.flows) return begin(s, stream.ready);
      trace_.start[task.value] = stream.ready;
      finish(s, stream.ready + pace.duration);
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
    if (++gathering.arrived == graph_.member_count(id)) begin(s, gathering.ready);
  }

  // The heads of `lead` and of the streams chained to it start.
  void begin(std::uint32_t lead, SimTime start) {
    SimTime longest;
    bool flows = false;
    for (std::uint32_t m = lead; m != kNone; m = streams_[m].next_arrived) {
      const Pace& pace = paces_[graph_.kind_id_of(streams_[m].head).value];
      trace_.start[streams_[m].head.value] = start;
      longest = std::max(longest, pace.duration);
      flows = flows || pace.flows;
    }
    if (flows) {
      events_.schedule(lead, start);
    } else {
      finish_group(lead, start + longest);
    }
  }

  // All events of one instant, then the rates, once.
  void apply_instant(SimTime now) {
    while (events_.next_time() == now) {
      const std::uint32_t lead = events_.pop();
      ++trace_.events;
      if (!flows_.active(lead)) {
        if (!is_held_up(lead, now)) start_flow(lead);
        continue;
      }
      flows_.end(lead);
      release_held_up(lead, now);
      finish_group(lead, now);
      advance_runnable();
    }
    for (const FlowSet::NewEnd& flow : flows_.resolve(now)) events_.schedule(flow.slot, flow.end);
    CHECK(events_.next_time() > now, "an event would come after the rates of its instant were solved");
  }

  // A transfer comes: it waits for the kernels that have begun before on the devices of its members.
  bool is_held_up(std::uint32_t lead, SimTime now) {
    for (std::uint32_t m = lead; m != kNone; m = streams_[m].next_arrived) {
      if (paces_[graph_.kind_id_of(streams_[m].head).value].side != Side::transfer) continue;
      for (const std::uint32_t kernel : flows_.on_device(graph_.device_of(StreamId{m}).value, Side::kernel)) {
        if (trace_.start[streams_[kernel].head.value] == now) continue;
        holds_[kernel].transfers.push_back(lead);
        ++holds_[lead].kernels;
      }
    }
    return holds_[lead].kernels > 0;
  }

  void release_held_up(std::uint32_t kernel, SimTime now) {
    for (const std::uint32_t lead : holds_[kernel].transfers) {
      if (--holds_[lead].kernels > 0) continue;
      for (std::uint32_t m = lead; m != kNone; m = streams_[m].next_arrived) trace_.start[streams_[m].head.value] = now;
      trace_.held_up.push_back({streams_[lead].head, streams_[kernel].head});
      start_flow(lead);
    }
    holds_[kernel].transfers.clear();
  }

  void start_flow(std::uint32_t lead) {
    SimTime longest;
    flow_uses_.clear();
    place_.side = Side::none;
    place_.beside = 1;
    place_.devices.clear();
    for (std::uint32_t m = lead; m != kNone; m = streams_[m].next_arrived) {
      const KindId id = graph_.kind_id_of(streams_[m].head);
      const TaskKind& kind = graph_.kind(id);
      longest = std::max(longest, kind.duration);
      flow_uses_.insert(flow_uses_.end(), kind.links.begin(), kind.links.end());
      if (kind.side != Side::none) {
        CHECK(place_.side == Side::none || place_.side == kind.side, "a kernel meets a transfer");
        place_.side = kind.side;
        place_.beside = std::min(place_.beside, kind.beside);
        place_.devices.push_back(graph_.device_of(StreamId{m}).value);
      }
      ++moved_[id.value];
    }
    flows_.start(lead, longest, flow_uses_, place_);
  }

  // Counted per kind and multiplied at the end: the order of events leaves no trace in the sum.
  void sum_link_bytes() {
    trace_.link_bytes.assign(graph_.link_count(), Bytes{0});
    for (std::uint32_t k = 0; k < moved_.size(); ++k) {
      for (const LinkUse& use : graph_.kind(KindId{k}).links) {
        trace_.link_bytes[use.link.value] += static_cast<double>(moved_[k]) * use.bytes;
      }
    }
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
  std::vector<Pace> paces_;           // per kind
  std::vector<std::uint64_t> moved_;  // per kind: how many of its tasks ran as flows
  std::vector<Stream> streams_;
  std::vector<Gathering> gatherings_;
  std::vector<std::uint32_t> runnable_, at_horizon_;
  std::uint64_t horizon_ = kWindow;
  EventQueue events_;  // a slot per stream
  FlowSet flows_;
  std::vector<Hold> holds_;
  std::vector<LinkUse> flow_uses_;
  FlowSet::Place place_;
  Trace trace_;
  std::size_t ended_ = 0;
};

}  // namespace

Trace run(const TaskGraph& graph) { return Simulation(graph).run(); }

}  // namespace trillion
