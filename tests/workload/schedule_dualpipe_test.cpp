// DualPipe and DualPipeV. Published (deepseek-ai/DualPipe README), with P stages, times of one stage, T_B = T_I + T_W, T_FB the
// time of an overlapped pair:
//   bubble           (P / 2 - 1)(T_FB + T_B - 3 T_W), of the rank that waits longest
//   parameters       DualPipe: 2 stages a rank, each stage twice in all; DualPipeV: 2 stages a rank, each once
//   activations      P + 1 of one stage, on every rank
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/workload/support/schedules.h"

namespace trillion::schedule_dualpipe_test {
namespace {

using testing::Each;
using testing::SizeIs;

// The longest bubble of a rank where every stage takes the same times.
double longest_bubble(const PipelineSchedule& schedule, StageTimes stage, double pair_ratio) {
  const IdealRun run = ideal_run(schedule, {std::vector<StageTimes>(static_cast<std::size_t>(schedule.stages), stage), pair_ratio});
  double longest = 0;
  for (std::size_t rank = 0; rank < run.ranks.size(); ++rank) longest = std::max(longest, run.bubble(rank));
  return longest;
}

double published_bubble(std::int64_t stages, StageTimes t, double pair_ratio) {
  const double backward = t.input_gradient + t.weight_gradient;
  return static_cast<double>(stages / 2 - 1) * ((t.forward + backward) * pair_ratio + backward - 3 * t.weight_gradient);
}

TEST(ScheduleDualPipeTest, BubbleIsThePublishedOne) {
  // Exact for T_F = T_I >= T_W, also where a pair is faster than its parts; with a fast pair the outer ranks, which also
  // run fewer passes in pairs, wait less.
  for (const std::int64_t stages : {4, 8, 16}) {
    for (const std::int64_t extra : {0, 2, 10}) {
      const PipelineSchedule two_ways = make_schedule(ScheduleKind::dualpipe, stages, 2 * stages + extra, 1);
      const PipelineSchedule v_shape = make_schedule(ScheduleKind::dualpipe_v, stages / 2, stages + extra, 1);
      for (const double weight : {1.0, 0.75, 0.5}) {
        for (const double pair_ratio : {1.0, 0.75}) {
          const double published = published_bubble(stages, {1, 1, weight}, pair_ratio);
          EXPECT_DOUBLE_EQ(longest_bubble(two_ways, {1, 1, weight}, pair_ratio), published) << "stages " << stages << " extra " << extra;
          EXPECT_DOUBLE_EQ(longest_bubble(v_shape, {1, 1, weight}, pair_ratio), published) << "stages " << stages << " extra " << extra;
        }
      }
    }
  }
}

TEST(ScheduleDualPipeTest, WithUnequalPassesThePublishedBubbleIsAnEstimate) {
  // Its error is at most what input gradients and forwards differ by, once per stage that the fill passes.
  const PipelineSchedule schedule = make_schedule(ScheduleKind::dualpipe, 16, 48, 1);
  for (const double input : {0.75, 1.25, 1.5}) {
    const StageTimes t{1, input, 0.5};
    EXPECT_NEAR(longest_bubble(schedule, t, 1), published_bubble(16, t, 1), 7 * std::abs(input - 1)) << "T_I " << input;
  }
}

TEST(ScheduleDualPipeTest, CheckValuesOfOurFacts) {
  EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::dualpipe, 8, 16, 1)), 6);
  EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::dualpipe, 4, 8, 1)), 2);
  EXPECT_THAT(in_flight(make_schedule(ScheduleKind::dualpipe, 8, 16, 1)), Each(9));
  EXPECT_THAT(in_flight(make_schedule(ScheduleKind::dualpipe, 4, 8, 1)), Each(5));
}

TEST(ScheduleDualPipeTest, EveryRankHoldsOneStageMoreThanThePipelineIsLong) {
  for (const std::int64_t stages : {4, 8, 16}) {
    const PipelineSchedule two_ways = make_schedule(ScheduleKind::dualpipe, stages, 3 * stages, 1);
    const PipelineSchedule v_shape = make_schedule(ScheduleKind::dualpipe_v, stages / 2, 3 * stages, 1);
    for (const PipelineSchedule* schedule : {&two_ways, &v_shape}) {
      for (std::size_t rank = 0; rank < schedule->ranks.size(); ++rank) {
        EXPECT_EQ(activations_in_flight(*schedule, static_cast<std::int32_t>(rank)).peak_total, stages + 1);
        EXPECT_THAT(schedule->stages_of(static_cast<std::int32_t>(rank)), SizeIs(2));
      }
    }
  }
}

TEST(ScheduleDualPipeTest, DirectionsMirrorEachOther) {
  const std::int32_t p = 8, m = 24;
  const PipelineSchedule schedule = make_schedule(ScheduleKind::dualpipe, p, m, 1);
  const auto mirrored = [&](Pass pass) {
    pass.micro_batch = (pass.micro_batch + m / 2) % m;
    return pass;
  };
  for (std::size_t rank = 0; rank < p; ++rank) {
    std::vector<Action> other = schedule.ranks[p - 1 - rank];
    for (Action& action : other) {
      action.first = mirrored(action.first);
      if (action.second) action.second = mirrored(*action.second);
    }
    EXPECT_EQ(schedule.ranks[rank], other);
  }
}

TEST(ScheduleDualPipeTest, MostOfTheStepIsOverlappedPairs) {
  // DeepSeek-V3: 16 ranks, 120 micro-batches. A rank at depth d of 8 pairs 2 (60 - 16 + d + 1) + (8 - d - 1) of its 120 forwards,
  // less one on the innermost ranks, whose first chunks feed each other.
  const PipelineSchedule schedule = make_schedule(ScheduleKind::dualpipe, 16, 120, 1);
  for (int rank = 0; rank < 16; ++rank) {
    const int depth = std::min(rank, 15 - rank);
    int pairs = 0;
    for (const Action& action : schedule.ranks[static_cast<std::size_t>(rank)]) pairs += action.second.has_value() ? 1 : 0;
    EXPECT_EQ(pairs, 2 * (60 - 16 + depth + 1) + (8 - depth - 1) - (depth == 7 ? 1 : 0)) << "rank " << rank;
  }
}

TEST(ScheduleDualPipeGoldenTest, SmallOrders) {
  // Equal to what the loops of dualpipe.py and dualpipev.py (deepseek-ai/DualPipe@3da1bbe) record.
  EXPECT_EQ(to_text(make_schedule(ScheduleKind::dualpipe, 4, 10, 1)), golden_schedule("dualpipe_p4_m10"));
  EXPECT_EQ(to_text(make_schedule(ScheduleKind::dualpipe_v, 2, 5, 1)), golden_schedule("dualpipe-v_p2_m5"));
}

}  // namespace
}  // namespace trillion::schedule_dualpipe_test
