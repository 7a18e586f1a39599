// The idealisation itself; the bubble formulas that it reproduces are in the tests of the schedules. The algebra first:
//   one rank: makespan = work, no bubble;  times scale -> makespan scales;  busy + bubble = makespan on every rank.
#include "sim/workload/schedule_ideal.h"

#include <gtest/gtest.h>

#include "sim/base/error.h"
#include "tests/workload/support/schedules.h"

namespace trillion::schedule_ideal_test {
namespace {

TEST(IdealRunTest, ByHand) {
  // rank 0: F 0..2, F 2..4, waits for 1B0 until 8, B 8..13, waits for 1B1 until 14, B 14..19
  // rank 1: F 2..3, B 3..8, F 8..9, B 9..14
  const PipelineSchedule schedule = parse_schedule("0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1");
  const IdealRun run = ideal_run(schedule, {{{2, 3, 2}, {1, 4, 1}}, 1});
  EXPECT_DOUBLE_EQ(run.makespan, 19);
  EXPECT_DOUBLE_EQ(run.ranks[0].start, 0);
  EXPECT_DOUBLE_EQ(run.ranks[0].busy, 14);
  EXPECT_DOUBLE_EQ(run.ranks[0].idle_within(), 5);
  EXPECT_DOUBLE_EQ(run.ranks[1].start, 2);
  EXPECT_DOUBLE_EQ(run.ranks[1].end, 14);
  EXPECT_DOUBLE_EQ(run.ranks[1].idle_within(), 0);
  EXPECT_DOUBLE_EQ(run.bubble(1), 7);
}

TEST(IdealRunTest, APairTakesItsShareOfTheSum) {
  const IdealRun run = ideal_run(parse_schedule("0F0,(0F1;0B0),0B1"), {{{1, 1, 2}}, 0.5});
  EXPECT_DOUBLE_EQ(run.makespan, 1 + 0.5 * (1 + 3) + 3);
}

TEST(IdealRunTest, OneRankHasNoBubble) {
  EXPECT_DOUBLE_EQ(ideal(make_schedule(ScheduleKind::one_f_one_b, 1, 7, 1), {1, 2, 3}).makespan, 42);
}

TEST(IdealRunTest, ScalesWithItsTimes) {
  const PipelineSchedule schedule = make_schedule(ScheduleKind::dualpipe, 6, 16, 1);
  EXPECT_DOUBLE_EQ(ideal(schedule, {4, 4, 2}).makespan, 4 * ideal(schedule, {1, 1, 0.5}).makespan);
}

TEST(IdealRunTest, OneTimePerStage) {
  EXPECT_THROW(ideal_run(make_schedule(ScheduleKind::one_f_one_b, 2, 2, 1), {{{1, 1, 1}}, 1}), InternalError);
}

}  // namespace
}  // namespace trillion::schedule_ideal_test
