// The algebra of the queue: pop() returns the pending slot of least (time, scheduling order); a slot is pending at most once,
// at the time last scheduled for it.
#include "sim/engine/event_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace trillion::event_queue_test {
namespace {

TEST(EventQueue, OrdersByTimeThenByScheduling) {
  EventQueue queue(4);
  queue.schedule(2, SimTime{5});
  queue.schedule(0, SimTime{7});
  queue.schedule(3, SimTime{5});
  queue.schedule(1, SimTime{5});
  for (const std::uint32_t slot : {2u, 3u, 1u, 0u}) EXPECT_EQ(queue.pop(), slot);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.next_time(), SimTime::max());
}

TEST(EventQueue, ReschedulingMovesTheEvent) {
  EventQueue queue(3);
  queue.schedule(0, SimTime{5});
  queue.schedule(1, SimTime{6});
  queue.schedule(0, SimTime{9});
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(queue.next_time(), SimTime{6});
  queue.schedule(0, SimTime{6});  // at the same time as slot 1, but scheduled later
  EXPECT_EQ(queue.pop(), 1u);
  EXPECT_EQ(queue.pop(), 0u);
}

TEST(EventQueue, PoppingNothingIsOurBug) { EXPECT_THROW(EventQueue(1).pop(), InternalError); }

TEST(EventQueue, EqualsASortedSet) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    const auto slots = static_cast<std::uint32_t>(1 + random() % 40);
    EventQueue queue(slots);
    std::set<std::tuple<SimTime, std::uint64_t, std::uint32_t>> model;
    std::map<std::uint32_t, std::tuple<SimTime, std::uint64_t, std::uint32_t>> pending;
    for (std::uint64_t step = 0; step < 500; ++step) {
      if (random() % 3 != 0) {
        const auto slot = static_cast<std::uint32_t>(random() % slots);
        const SimTime time{static_cast<std::int64_t>(random() % 20)};
        if (const auto it = pending.find(slot); it != pending.end()) model.erase(it->second);
        pending[slot] = {time, step, slot};
        model.insert(pending[slot]);
        queue.schedule(slot, time);
      } else if (!model.empty()) {
        ASSERT_EQ(queue.next_time(), std::get<0>(*model.begin())) << "seed " << seed;
        const std::uint32_t slot = queue.pop();
        ASSERT_EQ(slot, std::get<2>(*model.begin())) << "seed " << seed;
        model.erase(model.begin());
        pending.erase(slot);
      }
      ASSERT_EQ(queue.size(), model.size()) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace trillion::event_queue_test
