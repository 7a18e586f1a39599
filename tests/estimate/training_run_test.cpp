// A run as stretches of equal steps. The algebra: the stretches' tokens add up to the run's; stairs carry equal tokens, rise, and
// their mean is the ramp's, (from + to) / 2; each batch is one that the plan can run.
#include "sim/estimate/training_run.h"

#include <gtest/gtest.h>

namespace trillion::training_run_test {
namespace {

Training ramp(std::int64_t stairs) {
  Training t;
  t.sequence_length = 4096;
  t.global_batch_size = 15360;
  t.tokens = 14.8e12;
  t.batch_size_schedule = BatchRamp{3072, 15360, 469e9, stairs};
  return t;
}

TEST(TrainingRun, TokensAddUp) {
  for (const std::int64_t stairs : {1, 3, 8, 100}) {
    double tokens = 0;
    for (const RunPhase& phase : run_phases(ramp(stairs), 128, 128)) tokens += phase.tokens;
    EXPECT_NEAR(tokens, 14.8e12, 1);
  }
}

TEST(TrainingRun, StairsRiseFromTheFirstBatchToTheLast) {
  const std::vector<RunPhase> phases = run_phases(ramp(8), 128, 128);
  ASSERT_EQ(phases.size(), 9u);
  for (std::size_t i = 1; i < phases.size(); ++i) EXPECT_GT(phases[i].global_batch_size, phases[i - 1].global_batch_size);
  EXPECT_GE(phases.front().global_batch_size, 3072);
  EXPECT_EQ(phases.back().global_batch_size, 15360);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_DOUBLE_EQ(phases[i].tokens, 469e9 / 8);
  for (const RunPhase& phase : phases) EXPECT_EQ(phase.sequence_length, 4096);
}

TEST(TrainingRun, TheStairsMeanIsTheRamps) {
  for (const std::int64_t stairs : {1, 3, 8}) {
    double sum = 0;
    for (const RunPhase& phase : run_phases(ramp(stairs), 1, 1))
      sum += phase.tokens < 1e12 ? static_cast<double>(phase.global_batch_size) : 0;
    EXPECT_DOUBLE_EQ(sum / static_cast<double>(stairs), (3072 + 15360) / 2.0);
  }
}

TEST(TrainingRun, BatchesAreMultiplesAndNotTooSmall) {
  Training t = ramp(16);
  t.batch_size_schedule->from = 16;
  for (const RunPhase& phase : run_phases(t, 1000, 3000)) {
    if (phase.global_batch_size == t.global_batch_size) continue;  // the plan's own
    EXPECT_EQ(phase.global_batch_size % 1000, 0);
    EXPECT_GE(phase.global_batch_size, 3000);
  }
}

TEST(TrainingRun, WithoutARampTheRunIsOneStretch) {
  Training t = ramp(8);
  t.batch_size_schedule.reset();
  const std::vector<RunPhase> phases = run_phases(t, 128, 128);
  ASSERT_EQ(phases.size(), 1u);
  EXPECT_EQ(phases.front().tokens, 14.8e12);
  EXPECT_EQ(phases.front().global_batch_size, 15360);
}

TEST(TrainingRun, ARunThatIsAllRampHasNoSteadyStretch) {
  Training t = ramp(4);
  t.tokens = 469e9;
  EXPECT_EQ(run_phases(t, 128, 128).size(), 4u);
}

}  // namespace
}  // namespace trillion::training_run_test
