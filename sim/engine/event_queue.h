// The future: at most one pending event per slot, ordered by (time, sequence number of its last scheduling).
//
//   EventQueue queue(slots);
//   queue.schedule(3, t);      // slot 3's event is now at t, whether or not it had one before
//   queue.next_time();         // SimTime::max() when nothing is pending
//   queue.pop();               // -> slot
//
// A 4-ary heap with a position per slot: rescheduling moves the event in place, so that no outdated events pile up.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "sim/base/error.h"
#include "sim/base/sim_time.h"

namespace trillion {

class EventQueue {
 public:
  explicit EventQueue(std::size_t slots) : position_(slots, kAbsent) {}

  bool empty() const { return heap_.empty(); }
  std::size_t size() const { return heap_.size(); }
  SimTime next_time() const { return heap_.empty() ? SimTime::max() : heap_.front().time; }

  // REQUIRES: slot < slots.
  void schedule(std::uint32_t slot, SimTime time) {
    const Event event{time, sequence_++, slot};
    std::size_t at = position_[slot];
    if (at == kAbsent) {
      at = heap_.size();
      heap_.push_back(event);
    }
    sift_up(sift_down(at, event), event);
  }

  // REQUIRES: !empty().
  std::uint32_t pop() {
    CHECK(!heap_.empty(), "no event is pending");
    const std::uint32_t slot = heap_.front().slot;
    position_[slot] = kAbsent;
    const Event last = heap_.back();
    heap_.pop_back();
    if (!heap_.empty()) place(sift_down(0, last), last);
    return slot;
  }

 private:
  struct Event {
    SimTime time;
    std::uint64_t sequence;
    std::uint32_t slot;

    bool before(const Event& other) const { return time != other.time ? time < other.time : sequence < other.sequence; }
  };
  static constexpr std::uint32_t kAbsent = 0xffffffffu;
  static constexpr std::size_t kArity = 4;

  void place(std::size_t at, const Event& event) {
    heap_[at] = event;
    position_[event.slot] = static_cast<std::uint32_t>(at);
  }

  // Moves the hole at `at` down past everything that comes before `event`; returns where the hole ends.
  std::size_t sift_down(std::size_t at, const Event& event) {
    for (;;) {
      const std::size_t first = kArity * at + 1;
      if (first >= heap_.size()) return at;
      std::size_t least = first;
      for (std::size_t child = first + 1; child < first + kArity && child < heap_.size(); ++child) {
        if (heap_[child].before(heap_[least])) least = child;
      }
      if (!heap_[least].before(event)) return at;
      place(at, heap_[least]);
      at = least;
    }
  }

  // Moves the hole at `at` up past everything that comes after `event`, and puts the event there.
  void sift_up(std::size_t at, const Event& event) {
    while (at > 0) {
      const std::size_t parent = (at - 1) / kArity;
      if (!event.before(heap_[parent])) break;
      place(at, heap_[parent]);
      at = parent;
    }
    place(at, event);
  }

  std::vector<Event> heap_;
  std::vector<std::uint32_t> position_;  // of each slot in the heap
  std::uint64_t sequence_ = 0;
};

}  // namespace trillion
