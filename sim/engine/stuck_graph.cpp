#include "sim/engine/stuck_graph.h"

#include <vector>

namespace trillion {

namespace {

// Beyond this many streams a person reads no more; the first ones name the cycle.
constexpr std::size_t kStreamsShown = 32;

class Explanation {
 public:
  Explanation(const TaskGraph& graph, const Trace& trace) : graph_(graph), trace_(trace), heads_(graph.stream_count()) {
    for (std::uint32_t s = 0; s < heads_.size(); ++s) {
      TaskId task = graph_.first_of(StreamId{s});
      while (task.valid() && ended(task)) task = graph_.next_in_stream(task);
      heads_[s] = task;
    }
    for (std::uint32_t t = 0; t < graph_.task_count(); ++t) {
      const TaskId task{t};
      if (ended(task)) {
        ++ended_;
      } else if (const RendezvousId id = graph_.rendezvous_of(task); id.valid() && !arrived(task)) {
        absent_.push_back({id, task});
      }
    }
  }

  std::string text() const {
    std::vector<std::uint32_t> blocked;
    for (std::uint32_t s = 0; s < heads_.size(); ++s) {
      if (heads_[s].valid()) blocked.push_back(s);
    }
    std::string out = "the graph is stuck after " + std::to_string(ended_) + " of " + std::to_string(graph_.task_count()) + " tasks; " +
                      std::to_string(blocked.size()) + (blocked.size() == 1 ? " stream is blocked:" : " streams are blocked:");
    for (std::size_t i = 0; i < blocked.size() && i < kStreamsShown; ++i) {
      const StreamId stream{blocked[i]};
      out += "\n  stream \"" + graph_.stream_name(stream) + "\": " + name(heads_[stream.value]) + reason(heads_[stream.value]);
    }
    if (blocked.size() > kStreamsShown) out += "\n  ... and " + std::to_string(blocked.size() - kStreamsShown) + " more";
    return out;
  }

 private:
  struct Absent {
    RendezvousId rendezvous;
    TaskId task;
  };

  bool ended(TaskId task) const { return trace_.end[task.value] != kNotYet; }
  bool is_head(TaskId task) const { return heads_[graph_.stream_of(task).value] == task; }
  TaskId unfinished_dependency(TaskId task) const {
    for (const TaskId dependency : graph_.dependencies(task)) {
      if (!ended(dependency)) return dependency;
    }
    return {};
  }
  bool arrived(TaskId task) const { return is_head(task) && !unfinished_dependency(task).valid(); }

  std::string name(TaskId task) const { return "\"" + graph_.kind_of(task).label + "\" (task " + std::to_string(task.value) + ")"; }
  std::string place(TaskId task) const { return " on stream \"" + graph_.stream_name(graph_.stream_of(task)) + "\""; }

  std::string reason(TaskId head) const {
    if (const TaskId dependency = unfinished_dependency(head); dependency.valid()) {
      return " waits for " + name(dependency) + place(dependency);
    }
    const RendezvousId id = graph_.rendezvous_of(head);
    std::string out = " waits at rendezvous " + std::to_string(id.value) + " for ";
    bool first = true;
    for (const Absent& absent : absent_) {
      if (absent.rendezvous != id) continue;
      out += (first ? "" : ", ") + name(absent.task);
      if (!is_head(absent.task)) out += ", which is behind " + name(heads_[graph_.stream_of(absent.task).value]);
      out += place(absent.task);
      first = false;
    }
    return out;
  }

  const TaskGraph& graph_;
  const Trace& trace_;
  std::vector<TaskId> heads_;
  std::vector<Absent> absent_;
  std::size_t ended_ = 0;
};

}  // namespace

std::string describe_stuck(const TaskGraph& graph, const Trace& trace) { return Explanation(graph, trace).text(); }

}  // namespace trillion
