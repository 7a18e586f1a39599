// ZB-H1, ZB-H2, ZB-V. Published, with T_F, T_I, T_W the times of one rank's whole share of a micro-batch:
//   bubble      zb-h1: (p - 1)(T_F + T_I - T_W);  zb-h2: (p - 1)(T_F + T_I - 2 T_W) inside a rank's own span   (Qi et al. 2023)
//               zb-v: 0 where the three are equal                                                              (Qi et al. 2024)
//   in flight   zb-h1: p;  zb-h2: 2p - 1;  zb-v: p on every rank
// H2's and V's ranks start and end staggered: with one common end of the step the fill remains, (p - 1) T_F and half of that.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/workload/support/schedules.h"

namespace trillion::schedule_zero_bubble_test {
namespace {

using testing::Each;

TEST(ScheduleZeroBubbleTest, H1BubbleIsThePublishedOne) {
  for (const std::int64_t p : {1, 2, 4, 8}) {
    for (const std::int64_t m : {8, 16, 33}) {
      for (const StageTimes t : {StageTimes{1, 1, 1}, StageTimes{1, 1.25, 0.75}, StageTimes{1, 1.5, 0.5}}) {
        const double published = static_cast<double>(p - 1) * (t.forward + t.input_gradient - t.weight_gradient);
        EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::zb_h1, p, m, 1), t), published) << "p " << p << " m " << m;
      }
    }
  }
}

TEST(ScheduleZeroBubbleTest, H2AndVHaveNoBubbleInsideARanksOwnSpan) {
  for (const std::int64_t p : {1, 2, 4, 8}) {
    for (const std::int64_t m : {2 * p, 2 * p + 1, 4 * p}) {
      const PipelineSchedule h2 = make_schedule(ScheduleKind::zb_h2, p, m, 1);
      const PipelineSchedule v = make_schedule(ScheduleKind::zb_v, p, m, 1);
      const double fill = static_cast<double>(p - 1);
      EXPECT_DOUBLE_EQ(largest_idle(ideal(h2)), 0) << "p " << p << " m " << m;
      EXPECT_DOUBLE_EQ(largest_idle(ideal(v)), 0) << "p " << p << " m " << m;
      EXPECT_DOUBLE_EQ(bubble(h2), fill);
      EXPECT_DOUBLE_EQ(bubble(v), fill / 2);
    }
  }
}

TEST(ScheduleZeroBubbleTest, H2BubbleWithShortWeightGradientsIsThePublishedOne) {
  // T_W at most T_I and T_F: the papers' condition for the formula.
  const StageTimes t{1, 1, 0.75};
  for (const std::int64_t p : {2, 4, 8}) {
    const double published = static_cast<double>(p - 1) * (t.forward + t.input_gradient - 2 * t.weight_gradient);
    EXPECT_DOUBLE_EQ(largest_idle(ideal(make_schedule(ScheduleKind::zb_h2, p, 4 * p, 1), t)), published) << "p " << p;
  }
}

TEST(ScheduleZeroBubbleTest, ActivationsInFlightAreThePublishedOnes) {
  for (const std::int64_t p : {4, 8}) {
    const auto ranks = static_cast<double>(p);
    EXPECT_THAT(in_flight(make_schedule(ScheduleKind::zb_h1, p, 2 * p, 1)), Each(ranks));
    EXPECT_THAT(in_flight(make_schedule(ScheduleKind::zb_h2, p, 2 * p, 1)), Each(2 * ranks - 1));
    EXPECT_THAT(in_flight(make_schedule(ScheduleKind::zb_v, p, 2 * p, 1)), Each(ranks));
  }
}

TEST(ScheduleZeroBubbleTest, CheckValuesOfOurFacts) {
  EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::zb_h1, 8, 16, 1)), 7);
  EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::zb_h2, 8, 16, 1)), 7);
  EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::zb_v, 8, 16, 1)), 3.5);
  EXPECT_DOUBLE_EQ(bubble(make_schedule(ScheduleKind::zb_v, 4, 8, 1)), 1.5);
}

TEST(ScheduleZeroBubbleGoldenTest, SmallOrders) {
  EXPECT_EQ(to_text(make_schedule(ScheduleKind::zb_h1, 4, 6, 1)), golden_schedule("zb-h1_p4_m6"));
  EXPECT_EQ(to_text(make_schedule(ScheduleKind::zb_h2, 3, 6, 1)), golden_schedule("zb-h2_p3_m6"));
  EXPECT_EQ(to_text(make_schedule(ScheduleKind::zb_v, 3, 7, 1)), golden_schedule("zb-v_p3_m7"));
}

}  // namespace
}  // namespace trillion::schedule_zero_bubble_test
