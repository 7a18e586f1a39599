// All schedules alike. The algebra first, for every kind and every legal (ranks, micro-batches, chunks):
//   why_not says no  <=>  make_schedule refuses;
//   every stage of every micro-batch is run once (text -> value checks that), no rank idles forever, ranks share stages evenly;
//   the makespan is never below one rank's work, nor below one micro-batch's way through all stages.
#include "sim/workload/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/error.h"
#include "sim/base/random.h"
#include "sim/workload/schedule_index.h"
#include "tests/workload/support/schedules.h"

namespace trillion::schedule_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string refusal(ScheduleKind kind, std::int64_t ranks, std::int64_t micro_batches, std::int64_t chunks = 1) {
  return why_not(kind, ranks, micro_batches, chunks).value_or("");
}

TEST(SchedulePropertyTest, EveryLegalScheduleIsCompleteAndRuns) {
  int legal = 0;
  for (std::size_t kind_index = 0; kind_index < kScheduleNames.size(); ++kind_index) {
    const auto kind = static_cast<ScheduleKind>(kind_index);
    for (std::int64_t ranks = 1; ranks <= 8; ++ranks) {
      for (std::int64_t micro_batches = 1; micro_batches <= 26; ++micro_batches) {
        for (std::int64_t chunks = 1; chunks <= 3; ++chunks) {
          SCOPED_TRACE(std::string(kScheduleNames[kind_index]) + " p " + std::to_string(ranks) + " m " + std::to_string(micro_batches) +
                       " v " + std::to_string(chunks));
          if (why_not(kind, ranks, micro_batches, chunks)) {
            EXPECT_THROW(make_schedule(kind, ranks, micro_batches, chunks), InternalError);
            continue;
          }
          ++legal;
          const PipelineSchedule schedule = make_schedule(kind, ranks, micro_batches, chunks);
          ASSERT_EQ(find_deadlock(schedule), std::nullopt);
          ASSERT_EQ(parse_schedule(to_text(schedule)), schedule);
          const double work = 3.0 * static_cast<double>(micro_batches);
          const IdealRun run = ideal(schedule);
          for (const IdealRank& rank : run.ranks) ASSERT_NEAR(rank.busy, work, 1e-9);
          // Forward down and backward up all stages. Weight gradients may come later, one's own at least.
          ASSERT_GE(run.makespan, std::max(work, 2.0 * static_cast<double>(ranks)) - 1e-9);
        }
      }
    }
  }
  EXPECT_GT(legal, 1500);
}

TEST(SchedulePropertyTest, UnevenStageTimesNeverDeadlockNorShortenTheStep) {
  const std::uint64_t seed = 20250402;
  SCOPED_TRACE("seed " + std::to_string(seed));
  const Random random(seed, 0);
  std::uint64_t draw = 0;
  for (int round = 0; round < 200; ++round) {
    const auto kind = static_cast<ScheduleKind>(random.bits(draw++) % kScheduleNames.size());
    const std::int64_t chunks = kind == ScheduleKind::interleaved_1f1b ? 2 : 1;
    const PipelineSchedule schedule = make_schedule(kind, 6, 24, chunks);
    IdealTimes times = ideal_times(schedule, {1, 1, 1});
    for (StageTimes& stage : times.stages) {
      stage.forward *= 0.5 + random.uniform(draw++);
      stage.input_gradient *= 0.5 + random.uniform(draw++);
      stage.weight_gradient *= 0.5 + random.uniform(draw++);
    }
    const IdealRun run = ideal_run(schedule, times);
    // Slowing one stage never makes the step shorter: the order is fixed, all ends are maxima of sums.
    StageTimes& slowed = times.stages[random.bits(draw++) % times.stages.size()];
    slowed.forward *= 1.5;
    EXPECT_GE(ideal_run(schedule, times).makespan, run.makespan);
  }
}

TEST(ScheduleTest, SaysWhichNumbersWouldDo) {
  EXPECT_EQ(refusal(ScheduleKind::one_f_one_b, 16, 3), "");
  EXPECT_EQ(refusal(ScheduleKind::dualpipe, 16, 120), "");
  EXPECT_EQ(refusal(ScheduleKind::dualpipe, 16, 121),
            "dualpipe needs an even number of micro-batches per step, at least 2 x pipeline_parallel = 32; there are 121, 120 or 122 "
            "would do");
  EXPECT_THAT(refusal(ScheduleKind::dualpipe, 16, 30), HasSubstr("there are 30, 32 would do"));
  EXPECT_THAT(refusal(ScheduleKind::dualpipe, 15, 120), HasSubstr("14 or 16 would do; dualpipe-v takes odd ones"));
  EXPECT_THAT(refusal(ScheduleKind::dualpipe_v, 8, 15), HasSubstr("at least 16 micro-batches per step"));
  EXPECT_THAT(refusal(ScheduleKind::zb_h2, 8, 14), HasSubstr("at least 15 micro-batches"));
  EXPECT_THAT(refusal(ScheduleKind::zb_v, 8, 15), HasSubstr("at least 16 micro-batches"));
  EXPECT_THAT(refusal(ScheduleKind::interleaved_1f1b, 8, 20, 2), HasSubstr("in multiples of pipeline_parallel 8; there are 20, 16 or 24"));
  EXPECT_THAT(refusal(ScheduleKind::interleaved_1f1b, 8, 16, 1), HasSubstr("1f1b is the schedule of 1"));
  EXPECT_THAT(refusal(ScheduleKind::one_f_one_b, 8, 16, 2), HasSubstr("interleaved-1f1b takes any number from 2"));
  EXPECT_THAT(refusal(ScheduleKind::gpipe, 0, 16), HasSubstr("pipeline_parallel from 1"));
  EXPECT_THAT(refusal(ScheduleKind::gpipe, 4, 0), HasSubstr("it is 0"));
  EXPECT_THAT(refusal(ScheduleKind::gpipe, 4, 4'000'000'000), HasSubstr("it is 4000000000"));
}

TEST(ScheduleTest, RanksHoldTheStagesOfTheirPlacement) {
  EXPECT_THAT(make_schedule(ScheduleKind::one_f_one_b, 4, 8, 1).stages_of(2), ElementsAre(2));
  EXPECT_THAT(make_schedule(ScheduleKind::interleaved_1f1b, 4, 8, 3).stages_of(1), ElementsAre(1, 5, 9));
  EXPECT_THAT(make_schedule(ScheduleKind::zb_v, 4, 8, 1).stages_of(1), ElementsAre(1, 6));
  EXPECT_THAT(make_schedule(ScheduleKind::dualpipe_v, 4, 8, 1).stages_of(3), ElementsAre(3, 4));
  EXPECT_THAT(make_schedule(ScheduleKind::dualpipe, 4, 8, 1).stages_of(3), ElementsAre(0, 3));
}

TEST(ScheduleTest, DualPipeStagesLiveOnTwoRanksOnePerDirection) {
  const PipelineSchedule schedule = make_schedule(ScheduleKind::dualpipe, 8, 16, 1);
  const PassIndex index(schedule);
  for (std::int32_t stage = 0; stage < 8; ++stage) {
    for (std::int32_t micro_batch = 0; micro_batch < 16; ++micro_batch) {
      const std::int32_t expected = micro_batch < 8 ? stage : 7 - stage;
      EXPECT_EQ(schedule.rank_of(stage, micro_batch), expected);
      EXPECT_EQ(index.rank_of(stage, micro_batch), expected);
    }
  }
  EXPECT_THROW(schedule.rank_of(8, 0), InternalError);
}

Plan written(const std::string& text, std::int64_t ranks) {
  Plan plan;
  plan.pipeline_parallel = ranks;
  plan.schedule_file = ScheduleFile{"mine.csv", text};
  return plan;
}

TEST(WrittenSchedule, RunsWhatItSays) {
  for (std::size_t k = 0; k < kScheduleNames.size(); ++k) {
    const auto kind = static_cast<ScheduleKind>(k);
    const PipelineSchedule schedule = make_schedule(kind, 4, 16, kind == ScheduleKind::interleaved_1f1b ? 2 : 1);
    const Plan plan = written(to_text(schedule), 4);
    EXPECT_FALSE(why_no_schedule(plan, 16)) << kScheduleNames[k];
    EXPECT_EQ(schedule_of(plan, 16), schedule) << kScheduleNames[k];
  }
}

TEST(WrittenSchedule, AcceptsWhatPyTorchExports) {
  // A row a rank; idle cells are empty, an overlapped pair carries its name.
  const Plan plan = written("0F0,0F1,,\"(0F2;0B0)OVERLAP_F_B\",0B1,0B2\n,1F0,1F1,1B0,1F2,1I1,1W1,1B2\n", 2);
  EXPECT_FALSE(why_no_schedule(plan, 3));
  EXPECT_EQ(schedule_of(plan, 3).ranks[0].size(), 5u);
}

TEST(WrittenSchedule, SaysWhyItCannotRun) {
  EXPECT_EQ(why_no_schedule(written("0F0,0B0\n1F0,1B0\n", 4), 1)->reason,
            "mine.csv schedules 2 pipeline ranks, one a line, and plan.pipeline_parallel is 4");
  EXPECT_EQ(why_no_schedule(written("0F0,0B0\n1F0,1B0\n", 2), 8)->reason, "mine.csv schedules 1 micro-batch; there are 8 per step");
  EXPECT_EQ(why_no_schedule(written("0F0,0B0,0F1,0B1,1F1,1B1\n1F0,1B0\n", 2), 2)->reason,
            "mine.csv: stage 0 is on 1 pipeline ranks and stage 1 on 2");
  const std::string deadlock = why_no_schedule(written("0B0,0F0\n1F0,1B0\n", 2), 1)->reason;
  EXPECT_NE(deadlock.find("mine.csv cannot run: "), std::string::npos);
  EXPECT_NE(deadlock.find("rank 0 stops at 0B0"), std::string::npos) << deadlock;
  EXPECT_NE(deadlock.find("rank 1 stops at 1F0"), std::string::npos) << deadlock;
}

TEST(WrittenSchedule, MistakesAreInputErrorsWithTheirPlace) {
  try {
    why_no_schedule(written("0F0,0B0\n1F0,1X0\n", 2), 1);
    FAIL();
  } catch (const InputError& e) {
    EXPECT_NE(std::string(e.what()).find("mine.csv:2:6"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("unknown kind of action 'X'"), std::string::npos) << e.what();
  }
}

TEST(Schedule, OnlyDualPipeHoldsAStageTwice) {
  for (std::size_t k = 0; k < kScheduleNames.size(); ++k) {
    const auto kind = static_cast<ScheduleKind>(k);
    const PipelineSchedule schedule = make_schedule(kind, 4, 16, kind == ScheduleKind::interleaved_1f1b ? 2 : 1);
    EXPECT_EQ(copies_of_a_stage(schedule), kind == ScheduleKind::dualpipe ? 2 : 1);
  }
}

}  // namespace
}  // namespace trillion::schedule_test
