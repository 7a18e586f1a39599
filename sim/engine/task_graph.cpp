#include "sim/engine/task_graph.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "sim/base/error.h"
#include "sim/base/random.h"
#include "sim/engine/huge_pages.h"

namespace trillion {

namespace {

std::uint64_t content_hash(const TaskKind& kind) {
  std::uint64_t hash = mix64(std::hash<std::string>{}(kind.label) ^ (std::uint64_t{kind.tag} << 48));
  hash = mix64(hash ^ static_cast<std::uint64_t>(kind.duration.picoseconds()));
  for (const LinkUse& use : kind.links) hash = mix64(hash ^ mix64(use.link.value) ^ std::hash<double>{}(use.bytes.value()));
  if (kind.side != Side::none) hash = mix64(hash ^ static_cast<std::uint64_t>(kind.side) ^ std::hash<double>{}(kind.beside));
  return hash;
}

std::uint32_t next_id(std::size_t count) {
  CHECK(count < TaskId::kNone, "more than 2^32 - 1 rows");
  return static_cast<std::uint32_t>(count);
}

}  // namespace

void TaskGraph::reserve(std::size_t tasks, std::size_t dependencies) {
  reserve_large(rows_, tasks);
  reserve_large(list_, dependencies);
}

LinkId TaskGraph::add_link(std::string name, BytesPerSecond capacity) {
  CHECK(capacity.value() > 0 && std::isfinite(capacity.value()), "a link's capacity must be positive and finite");
  const LinkId id{next_id(links_.size())};
  links_.push_back({std::move(name), capacity});
  return id;
}

DeviceId TaskGraph::add_device() { return DeviceId{devices_++}; }

StreamId TaskGraph::add_stream(std::string name, DeviceId device) {
  CHECK(!device.valid() || device.value < devices_, "a stream names a device that was not added");
  const StreamId id{next_id(streams_.size())};
  streams_.push_back({std::move(name), TaskId::kNone, TaskId::kNone, 0, device});
  return id;
}

KindId TaskGraph::add_kind(const TaskKind& kind) {
  if (2 * (kinds_.size() + 1) > kind_slots_.size()) grow_kind_slots();
  const std::uint64_t hash = content_hash(kind);
  std::size_t slot = hash & (kind_slots_.size() - 1);
  for (; kind_slots_[slot] != KindId::kNone; slot = (slot + 1) & (kind_slots_.size() - 1)) {
    const std::uint32_t k = kind_slots_[slot];
    if (kind_hashes_[k] == hash && kinds_[k] == kind) return KindId{k};
  }
  CHECK(kind.duration >= SimTime{0}, "a task's duration cannot be negative");
  for (const LinkUse& use : kind.links) {
    CHECK(use.link.value < links_.size(), "a kind uses a link that was not added");
    CHECK(use.bytes.value() >= 0 && std::isfinite(use.bytes.value()), "bytes on a link must be finite and not negative");
  }
  CHECK(kind.beside > 0 && kind.beside <= 1, "a task's pace beside others lies in (0, 1]");
  const KindId id{next_id(kinds_.size())};
  CHECK(id.value < kRendezvousBit, "more than 2^31 kinds");
  kinds_.push_back(kind);
  kind_hashes_.push_back(hash);
  kind_slots_[slot] = id.value;
  return id;
}

void TaskGraph::grow_kind_slots() {
  kind_slots_.assign(std::max<std::size_t>(64, 2 * kind_slots_.size()), KindId::kNone);
  for (std::uint32_t k = 0; k < kinds_.size(); ++k) {
    std::size_t slot = kind_hashes_[k] & (kind_slots_.size() - 1);
    while (kind_slots_[slot] != KindId::kNone) slot = (slot + 1) & (kind_slots_.size() - 1);
    kind_slots_[slot] = k;
  }
}

RendezvousId TaskGraph::add_rendezvous() {
  const RendezvousId id{next_id(rendezvous_members_.size())};
  rendezvous_members_.push_back(0);
  return id;
}

TaskId TaskGraph::add(StreamId stream, KindId kind, std::span<const TaskId> dependencies, RendezvousId rendezvous) {
  const TaskId id{next_id(rows_.size())};
  CHECK(stream.value < streams_.size() && kind.value < kinds_.size(), "a task needs a stream and a kind that were added");
  CHECK(kinds_[kind.value].side == Side::none || streams_[stream.value].device.valid(), "a task with a side needs a device");
  if (rendezvous.valid()) {
    CHECK(rendezvous.value < rendezvous_members_.size(), "a task names a rendezvous that was not added");
    ++rendezvous_members_[rendezvous.value];
    list_.push_back(TaskId{rendezvous.value});
  }
  for (const TaskId dependency : dependencies) {
    CHECK(dependency.value < id.value, "dependencies point backwards");
    list_.push_back(dependency);
  }
  Stream& row = streams_[stream.value];
  (row.count == 0 ? row.first : rows_[row.last].next_in_stream) = id.value;
  row.last = id.value;
  ++row.count;
  rows_.push_back({kind.value | (rendezvous.valid() ? kRendezvousBit : 0u), stream.value, TaskId::kNone, next_id(list_.size())});
  return id;
}

}  // namespace trillion
