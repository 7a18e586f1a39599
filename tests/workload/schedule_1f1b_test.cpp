// GPipe, 1F1B, interleaved 1F1B. Published, with T_F + T_B the time of one rank's whole share of a micro-batch:
//   bubble      gpipe, 1f1b: (p - 1)(T_F + T_B);  interleaved: that / v            (Narayanan et al. 2021, section 2.2)
//   in flight   gpipe: m;  1f1b: min(m, p - r);  interleaved, rank 0: p (1 + (p - 1) / (p v))   (Megatron-LM's memory estimate)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/workload/support/schedules.h"

namespace trillion::schedule_1f1b_test {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr StageTimes kUneven{1.0, 1.25, 0.75};  // exact in binary, so that formulas hold to the bit

TEST(Schedule1f1bTest, BubblesAreThePublishedOnes) {
  for (const std::int64_t p : {1, 2, 4, 8}) {
    for (const std::int64_t m : {8, 16, 24}) {
      const double whole = static_cast<double>(p - 1) * 3.0;
      EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::gpipe, p, m, 1), kUneven), whole);
      EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::one_f_one_b, p, m, 1), kUneven), whole);
      for (const std::int64_t v : {2, 4}) {
        EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::interleaved_1f1b, p, m, v), kUneven), whole / static_cast<double>(v));
      }
    }
  }
}

TEST(Schedule1f1bTest, ActivationsInFlightAreThePublishedOnes) {
  EXPECT_THAT(in_flight(make_schedule(ScheduleKind::gpipe, 8, 16, 1)), Each(16));
  EXPECT_THAT(in_flight(make_schedule(ScheduleKind::one_f_one_b, 8, 16, 1)), ElementsAre(8, 7, 6, 5, 4, 3, 2, 1));
  EXPECT_THAT(in_flight(make_schedule(ScheduleKind::one_f_one_b, 8, 3, 1)), ElementsAre(3, 3, 3, 3, 3, 3, 2, 1));
  EXPECT_THAT(in_flight(make_schedule(ScheduleKind::interleaved_1f1b, 8, 16, 2)), ElementsAre(11.5, 10.5, 9.5, 8.5, 7.5, 6.5, 5.5, 4.5));
  for (const double v : {2., 3., 4.}) {
    const auto rank0 = in_flight(make_schedule(ScheduleKind::interleaved_1f1b, 4, 16, static_cast<std::int64_t>(v))).front();
    EXPECT_DOUBLE_EQ(rank0, 4 * (1 + 3 / (4 * v)));
  }
}

TEST(Schedule1f1bTest, CheckValuesOfOurFacts) {
  EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::gpipe, 8, 16, 1)), 21);
  EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::one_f_one_b, 8, 16, 1)), 21);
  EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::interleaved_1f1b, 8, 16, 2)), 10.5);
  EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::interleaved_1f1b, 4, 8, 2)), 4.5);
  EXPECT_THAT(in_flight(make_schedule(ScheduleKind::interleaved_1f1b, 4, 8, 2)), ElementsAre(5.5, 4.5, 3.5, 2.5));
  const IdealRun run = ideal(make_schedule(ScheduleKind::one_f_one_b, 8, 16, 1));
  for (std::size_t rank = 0; rank < 8; ++rank) EXPECT_DOUBLE_EQ(run.ranks[rank].idle_within(), 21 - 3 * static_cast<double>(rank));
}

TEST(Schedule1f1bGoldenTest, SmallOrders) {
  EXPECT_EQ(to_text(make_schedule(ScheduleKind::gpipe, 2, 3, 1)), golden_schedule("gpipe_p2_m3"));
  EXPECT_EQ(to_text(make_schedule(ScheduleKind::one_f_one_b, 4, 6, 1)), golden_schedule("1f1b_p4_m6"));
  EXPECT_EQ(to_text(make_schedule(ScheduleKind::interleaved_1f1b, 2, 4, 2)), golden_schedule("interleaved-1f1b_p2_m4_v2"));
}

}  // namespace
}  // namespace trillion::schedule_1f1b_test
