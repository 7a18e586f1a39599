// What is to be executed: tasks on in-order streams, with dependencies. It has never heard of a transformer.
//
//   stream       executes its tasks one after the other, in the order in which they were added
//   task         starts when its stream's previous task and all its dependencies have ended
//   kind         what alike tasks share (label, tag, time alone, links used); interned, so that a task is a few integers
//   link         a shared capacity; a task that uses links may be slowed down below its own pace by others (engine/flow_set.h)
//   rendezvous   tasks of different streams that start together, when the last of them is ready, and end together
//
// Dependencies point backwards (to smaller ids), so a graph cannot contain a cycle of dependencies; a rendezvous whose
// members wait for each other can still get stuck, and the engine then says who waits for whom.
//
// The graph is columns: a full step of 2048 GPUs is ~6e7 tasks and must fit in memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sim/base/id.h"
#include "sim/base/quantity.h"
#include "sim/base/sim_time.h"

namespace trillion {

using TaskId = Id<struct TaskTag>;
using StreamId = Id<struct StreamTag>;
using LinkId = Id<struct LinkTag>;
using KindId = Id<struct KindTag>;
using RendezvousId = Id<struct RendezvousTag>;

// `bytes` of a task cross `link` while the task runs.
struct LinkUse {
  LinkId link;
  Bytes bytes;
  friend bool operator==(const LinkUse&, const LinkUse&) = default;
};

struct TaskKind {
  std::string label;      // as a profiler would show it: "attention forward"
  std::uint16_t tag = 0;  // the caller's own category; the engine only carries it
  SimTime duration;       // alone; with links: the shortest it can take
  std::vector<LinkUse> links;
  friend bool operator==(const TaskKind&, const TaskKind&) = default;
};

class TaskGraph {
 public:
  LinkId add_link(std::string name, BytesPerSecond capacity);
  StreamId add_stream(std::string name);
  KindId add_kind(const TaskKind& kind);  // the same content gives the same id
  RendezvousId add_rendezvous();

  // REQUIRES: every dependency was added before.
  TaskId add(StreamId stream, KindId kind, std::span<const TaskId> dependencies, RendezvousId rendezvous = {});

  std::size_t task_count() const { return kind_of_.size(); }
  std::size_t stream_count() const { return stream_names_.size(); }
  std::size_t link_count() const { return link_names_.size(); }
  std::size_t kind_count() const { return kinds_.size(); }
  std::size_t rendezvous_count() const { return rendezvous_members_.size(); }

  const TaskKind& kind(KindId id) const { return kinds_[id.value]; }
  const TaskKind& kind_of(TaskId task) const { return kinds_[kind_of_[task.value].value]; }
  KindId kind_id_of(TaskId task) const { return kind_of_[task.value]; }
  StreamId stream_of(TaskId task) const { return stream_of_[task.value]; }
  RendezvousId rendezvous_of(TaskId task) const { return rendezvous_of_.empty() ? RendezvousId{} : rendezvous_of_[task.value]; }
  std::uint32_t member_count(RendezvousId id) const { return rendezvous_members_[id.value]; }
  std::span<const TaskId> dependencies(TaskId task) const;
  std::span<const TaskId> tasks_of(StreamId stream) const { return stream_tasks_[stream.value]; }
  const std::string& stream_name(StreamId id) const { return stream_names_[id.value]; }
  const std::string& link_name(LinkId id) const { return link_names_[id.value]; }
  BytesPerSecond link_capacity(LinkId id) const { return link_capacities_[id.value]; }

 private:
  std::vector<TaskKind> kinds_;
  std::unordered_multimap<std::size_t, std::uint32_t> kind_index_;  // content hash -> position; never iterated
  std::vector<KindId> kind_of_;
  std::vector<StreamId> stream_of_;
  std::vector<std::uint32_t> dependency_end_;
  std::vector<TaskId> dependencies_;
  std::vector<RendezvousId> rendezvous_of_;
  std::vector<std::uint32_t> rendezvous_members_;
  std::vector<std::vector<TaskId>> stream_tasks_;
  std::vector<std::string> stream_names_;
  std::vector<std::string> link_names_;
  std::vector<BytesPerSecond> link_capacities_;
};

}  // namespace trillion
