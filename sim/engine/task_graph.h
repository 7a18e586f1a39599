// What is to be executed: tasks on in-order streams, with dependencies. It has never heard of a transformer.
//
//   stream       executes its tasks one after the other, in the order in which they were added
//   task         starts when its stream's previous task and all its dependencies have ended
//   kind         what alike tasks share (label, tag, time alone, links used); interned, so that a task is a few integers
//   link         a shared capacity; a task that uses links may be slowed down below its own pace by others (engine/flow_set.h)
//   rendezvous   tasks of different streams that start together, when the last of them is ready, and end together
//   device       streams that share one processor: kernels and transfers on it slow each other down (TaskKind::side)
//
// Dependencies point backwards (to smaller ids), so a graph cannot contain a cycle of dependencies; a rendezvous whose
// members wait for each other can still get stuck, and the engine then says who waits for whom.
//
// The graph is compact: a full step of 2048 GPUs is ~6e7 tasks and must fit in memory. A task is one row of 16 bytes, plus 4
// bytes per dependency and 4 more if it belongs to a rendezvous; call reserve() before a large build, since a growing vector
// needs room for both copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
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
using DeviceId = Id<struct DeviceTag>;

// `bytes` of a task cross `link` while the task runs.
struct LinkUse {
  LinkId link;
  Bytes bytes;
  friend bool operator==(const LinkUse&, const LinkUse&) = default;
};

// What a task is to the others of its device. While at least one task of the other side runs there, a task runs at
// TaskKind::beside of its pace. A transfer's blocks queue for the device behind those of the kernel that is at work when it comes,
// so it starts when that kernel ends, and holds its place from then on.
enum class Side : std::uint8_t { none, kernel, transfer };

struct TaskKind {
  std::string label;      // as a profiler would show it: "attention forward"
  std::uint16_t tag = 0;  // the caller's own category; the engine only carries it
  SimTime duration;       // alone; with links: the shortest it can take
  std::vector<LinkUse> links;
  Side side = Side::none;
  double beside = 1;  // with a side: 0 < beside <= 1
  friend bool operator==(const TaskKind&, const TaskKind&) = default;
};

// The tasks of one stream in execution order; they are chained through the rows, so this is a forward range.
class StreamTasks;

class TaskGraph {
 public:
  // Room for so many tasks and dependencies in all (count one dependency more for each member of a rendezvous).
  void reserve(std::size_t tasks, std::size_t dependencies);

  LinkId add_link(std::string name, BytesPerSecond capacity);  // REQUIRES: capacity positive and finite
  DeviceId add_device();
  StreamId add_stream(std::string name, DeviceId device = {});
  // The same content gives the same id. REQUIRES: duration >= 0; links exist, bytes finite and >= 0; 0 < beside <= 1.
  KindId add_kind(const TaskKind& kind);
  RendezvousId add_rendezvous();

  // REQUIRES: every dependency was added before; the stream of a kind with a side has a device.
  TaskId add(StreamId stream, KindId kind, std::span<const TaskId> dependencies, RendezvousId rendezvous = {});

  std::size_t task_count() const { return rows_.size(); }
  std::size_t stream_count() const { return streams_.size(); }
  std::size_t link_count() const { return links_.size(); }
  std::size_t device_count() const { return devices_; }
  std::size_t kind_count() const { return kinds_.size(); }
  std::size_t rendezvous_count() const { return rendezvous_members_.size(); }

  const TaskKind& kind(KindId id) const { return kinds_[id.value]; }
  const TaskKind& kind_of(TaskId task) const { return kinds_[kind_id_of(task).value]; }
  KindId kind_id_of(TaskId task) const { return KindId{rows_[task.value].kind & ~kRendezvousBit}; }
  StreamId stream_of(TaskId task) const { return StreamId{rows_[task.value].stream}; }
  RendezvousId rendezvous_of(TaskId task) const {
    return has_rendezvous(task) ? RendezvousId{list_[list_begin(task)].value} : RendezvousId{};
  }
  std::uint32_t member_count(RendezvousId id) const { return rendezvous_members_[id.value]; }
  std::span<const TaskId> dependencies(TaskId task) const {
    const std::uint32_t begin = list_begin(task) + (has_rendezvous(task) ? 1 : 0);
    return {list_.data() + begin, rows_[task.value].list_end - begin};
  }
  StreamTasks tasks_of(StreamId stream) const;
  TaskId first_of(StreamId stream) const { return TaskId{streams_[stream.value].first}; }        // not valid() when empty
  TaskId next_in_stream(TaskId task) const { return TaskId{rows_[task.value].next_in_stream}; }  // not valid() at the end
  DeviceId device_of(StreamId stream) const { return streams_[stream.value].device; }            // not valid(): none
  const std::string& stream_name(StreamId id) const { return streams_[id.value].name; }
  const std::string& link_name(LinkId id) const { return links_[id.value].name; }
  BytesPerSecond link_capacity(LinkId id) const { return links_[id.value].capacity; }

 private:
  // `list_` holds, task after task, the rendezvous (if the bit is set) and then the dependencies.
  struct Row {
    std::uint32_t kind = 0;  // and kRendezvousBit
    std::uint32_t stream = 0;
    std::uint32_t next_in_stream = TaskId::kNone;
    std::uint32_t list_end = 0;
  };
  static_assert(sizeof(Row) == 16, "6e7 tasks must fit in memory");
  static constexpr std::uint32_t kRendezvousBit = 0x80000000u;

  struct Stream {
    std::string name;
    std::uint32_t first = TaskId::kNone, last = TaskId::kNone;
    std::uint32_t count = 0;
    DeviceId device;
  };
  struct Link {
    std::string name;
    BytesPerSecond capacity;
  };

  std::uint32_t list_begin(TaskId task) const { return task.value == 0 ? 0 : rows_[task.value - 1].list_end; }
  void grow_kind_slots();
  bool has_rendezvous(TaskId task) const { return (rows_[task.value].kind & kRendezvousBit) != 0; }

  std::vector<Row> rows_;
  std::vector<TaskId> list_;
  std::vector<TaskKind> kinds_;
  // Kinds by content: kind_slots_ is a hash table with open addressing, at most half full, of positions in kinds_.
  std::vector<std::uint64_t> kind_hashes_;
  std::vector<std::uint32_t> kind_slots_;
  std::vector<std::uint32_t> rendezvous_members_;
  std::vector<Stream> streams_;
  std::vector<Link> links_;
  std::uint32_t devices_ = 0;
};

class StreamTasks {
 public:
  class Iterator {
   public:
    using value_type = TaskId;
    using difference_type = std::ptrdiff_t;

    Iterator() = default;
    Iterator(const TaskGraph* graph, TaskId task) : graph_(graph), task_(task) {}
    TaskId operator*() const { return task_; }
    Iterator& operator++() { return task_ = graph_->next_in_stream(task_), *this; }
    Iterator operator++(int) {
      const Iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const Iterator& other) const { return task_ == other.task_; }

   private:
    const TaskGraph* graph_ = nullptr;
    TaskId task_;
  };

  StreamTasks(const TaskGraph* graph, TaskId first, std::size_t size) : graph_(graph), first_(first), size_(size) {}
  Iterator begin() const { return {graph_, first_}; }
  Iterator end() const { return {graph_, TaskId{}}; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  const TaskGraph* graph_;
  TaskId first_;
  std::size_t size_;
};

inline StreamTasks TaskGraph::tasks_of(StreamId stream) const { return {this, first_of(stream), streams_[stream.value].count}; }

}  // namespace trillion
