// What follows from the order. The algebra first:
//   execution_order is a permutation of all actions in which each comes after what it waits for, and its rank's earlier ones;
//   find_deadlock is empty exactly when that exists; swapping two actions either keeps the schedule running or is named;
//   activations in flight never fall below zero, end at zero, and grow by one with a forward.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "sim/base/error.h"
#include "sim/base/random.h"
#include "sim/workload/schedule.h"
#include "sim/workload/schedule_index.h"
#include "tests/workload/support/schedules.h"

namespace trillion::schedule_order_test {
namespace {

using testing::ElementsAre;

void expect_topological(const PipelineSchedule& schedule) {
  const std::vector<ScheduledAction> order = execution_order(schedule);
  const PassIndex index(schedule);
  std::set<std::pair<std::int32_t, std::int32_t>> done;
  std::vector<std::int32_t> next(schedule.ranks.size(), 0);
  std::size_t actions = 0;
  for (const auto& list : schedule.ranks) actions += list.size();
  ASSERT_EQ(order.size(), actions);
  for (const auto [rank, position] : order) {
    ASSERT_EQ(position, next[static_cast<std::size_t>(rank)]++);
    const Action& action = schedule.ranks[static_cast<std::size_t>(rank)][static_cast<std::size_t>(position)];
    const auto expect_ready = [&](const Pass& pass) {
      for (const Pass& before : index.dependencies(pass)) {
        const PassPlace place = index.find(before);
        ASSERT_TRUE(done.count({place.rank, place.position})) << to_text(action);
      }
    };
    expect_ready(action.first);
    if (action.second) expect_ready(*action.second);
    done.insert({rank, position});
  }
}

TEST(ScheduleOrderTest, EveryActionComesAfterWhatItWaitsFor) {
  for (std::size_t kind = 0; kind < kScheduleNames.size(); ++kind) {
    SCOPED_TRACE(kScheduleNames[kind]);
    const std::int64_t chunks = static_cast<ScheduleKind>(kind) == ScheduleKind::interleaved_1f1b ? 3 : 1;
    expect_topological(make_schedule(static_cast<ScheduleKind>(kind), 6, 18, chunks));
  }
}

TEST(ScheduleOrderTest, NamesTheHeadOfEveryBlockedRankAndWhatItWaitsFor) {
  EXPECT_EQ(find_deadlock(parse_schedule("0F0,0B0\n1F0,1B0")), std::nullopt);
  EXPECT_EQ(find_deadlock(parse_schedule("0F0,0B0\n1B0,1F0")),
            "rank 0 stops at 0B0 (position 1), which waits for 1B0 (rank 1, position 0)\n"
            "rank 1 stops at 1B0 (position 0), which waits for 1F0 (rank 1, position 1)");
  EXPECT_EQ(find_deadlock(parse_schedule("0F0,0B0,0F1,0B1\n1F1,1I1,1W1,1F0,1B0")),
            "rank 0 stops at 0B0 (position 1), which waits for 1B0 (rank 1, position 4)\n"
            "rank 1 stops at 1F1 (position 0), which waits for 0F1 (rank 0, position 2)");
  EXPECT_EQ(find_deadlock(parse_schedule("0F0,0F1,0I1,0W1,0B0\n1F1,(1F0;1B1),1B0")), std::nullopt);
}

TEST(ScheduleOrderTest, APairWaitsForBothOfItsPassesAndNeverForItself) {
  EXPECT_EQ(find_deadlock(parse_schedule("(0F0;0B0)")), "rank 0 stops at (0F0;0B0) (position 0), which waits for 0F0 (rank 0, position 0)");
  EXPECT_EQ(find_deadlock(parse_schedule("0F0,(0F1;0B0),0B1\n1F0,1F1,1B1,1B0")),
            "rank 0 stops at (0F1;0B0) (position 1), which waits for 1B0 (rank 1, position 3)\n"
            "rank 1 stops at 1F1 (position 1), which waits for 0F1 (rank 0, position 1)");
}

TEST(ScheduleOrderTest, APassThatNoRankRunsIsSaid) {
  PipelineSchedule schedule = parse_schedule("0F0,0B0\n1F0,1B0");
  schedule.ranks[1].pop_back();
  EXPECT_EQ(find_deadlock(schedule), "rank 0 stops at 0B0 (position 1), which waits for 1B0 (no rank runs it)");
  EXPECT_THROW(execution_order(schedule), InternalError);
}

TEST(ScheduleOrderPropertyTest, SwappedActionsRunOrAreNamed) {
  const std::uint64_t seed = 20250404;
  SCOPED_TRACE("seed " + std::to_string(seed));
  const Random random(seed, 0);
  std::uint64_t draw = 0;
  int stuck = 0;
  for (int round = 0; round < 400; ++round) {
    PipelineSchedule schedule = make_schedule(ScheduleKind::zb_v, 4, 8, 1);
    auto& actions = schedule.ranks[random.bits(draw++) % 4];
    const std::size_t first = random.bits(draw++) % actions.size();
    std::swap(actions[first], actions[random.bits(draw++) % actions.size()]);
    if (const auto why = find_deadlock(schedule)) {
      ++stuck;
      EXPECT_THAT(*why, testing::HasSubstr("which waits for"));
      EXPECT_THROW(execution_order(schedule), InternalError);
    } else {
      expect_topological(schedule);
    }
  }
  EXPECT_GT(stuck, 100);
  EXPECT_LT(stuck, 400);
}

TEST(ScheduleOrderTest, ActivationsLiveFromForwardToTheirLastGradient) {
  const PipelineSchedule schedule = parse_schedule("0F0,0F1,0I0,0F2,0W0,0I1,0W1,0B2,1F0,1B0,1F1,1B1,1F2,1B2");
  const InFlight peak = activations_in_flight(schedule, 0);
  EXPECT_THAT(peak.peak_of_stage, ElementsAre(3, 1));  // an input gradient frees nothing
  EXPECT_EQ(peak.peak_total, 3);                       // not at the same time
}

TEST(ScheduleOrderTest, BothHalvesOfAPairAreAlive) {
  const PipelineSchedule schedule = parse_schedule("0F0,(0F1;0B0),0B1");
  EXPECT_EQ(activations_in_flight(schedule, 0).peak_total, 2);
}

TEST(ScheduleOrderTest, DualPipeKeepsItsActivationsInTwoStages) {
  // p + 1 of both together; rank r holds at most p - r of the stage whose micro-batches enter near it.
  const PipelineSchedule schedule = make_schedule(ScheduleKind::dualpipe, 8, 20, 1);
  for (std::int32_t rank = 0; rank < 8; ++rank) {
    const InFlight peak = activations_in_flight(schedule, rank);
    ASSERT_EQ(peak.peak_of_stage.size(), 2u);
    EXPECT_EQ(peak.peak_total, 9);
    EXPECT_GE(peak.peak_of_stage[0] + peak.peak_of_stage[1], peak.peak_total);
    EXPECT_GT(peak.peak_of_stage[0], peak.peak_of_stage[1]) << "the earlier stage waits longer for its backward";
  }
}

}  // namespace
}  // namespace trillion::schedule_order_test
