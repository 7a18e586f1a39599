// What a step is screened with. The algebra: the whole step where it is short; else two multiples of the pipeline's ranks, one round
// apart and below the whole; interleaved chunks run longer.
#include "sim/planner/run_lengths.h"

#include <gtest/gtest.h>

namespace trillion::run_lengths_test {
namespace {

Plan plan(ScheduleKind schedule, std::int64_t ranks) {
  Plan p;
  p.schedule = schedule;
  p.pipeline_parallel = ranks;
  return p;
}

TEST(RunLengths, AShortStepIsRunWhole) {
  const RunLengths lengths = run_lengths(plan(ScheduleKind::one_f_one_b, 8), 40);
  EXPECT_EQ(lengths.longer, 40);
  EXPECT_EQ(lengths.shorter, 40);
}

TEST(RunLengths, ALongOneIsTwoNumbersARoundApart) {
  for (const ScheduleKind schedule : {ScheduleKind::one_f_one_b, ScheduleKind::interleaved_1f1b}) {
    const RunLengths lengths = run_lengths(plan(schedule, 8), 1000);
    EXPECT_EQ(lengths.longer - lengths.shorter, 8);
    EXPECT_EQ(lengths.longer % 8, 0);
    EXPECT_LT(lengths.longer, 1000);
  }
}

TEST(RunLengths, InterleavedChunksRunLonger) {
  EXPECT_GT(run_lengths(plan(ScheduleKind::interleaved_1f1b, 4), 1000).shorter,
            run_lengths(plan(ScheduleKind::one_f_one_b, 4), 1000).longer);
}

}  // namespace
}  // namespace trillion::run_lengths_test
