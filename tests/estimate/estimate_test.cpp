// One plan, one answer. The algebra:
//   answer    GPU-hours per trillion tokens = GPUs x step time / tokens of the step, inside its interval
//   run       is the sum of its phases; a phase is its tokens / step's tokens x GPUs x step time
//   ramp      smaller batches pay more bubble, so the run's mean is never cheaper than the steady state
//   phases    later ones add what each takes as a scenario of its own
//   threads   change nothing, to the last bit
#include "sim/estimate/estimate.h"

#include <gtest/gtest.h>

#include "sim/estimate/price.h"
#include "tests/support/linear_machine.h"

namespace trillion::estimate_test {
namespace {

using namespace testing_support;

Scenario with_a_run() {
  Plan plan;
  plan.pipeline_parallel = 4;
  plan.expert_parallel = 8;
  Scenario s = linear_scenario(moe_model(8), plan, 4, 8 * 16);
  s.training.routing.balance = Balance::loss_free;
  s.training.tokens = 1e12;
  s.training.batch_size_schedule = BatchRamp{32, 128, 2e11, 3};
  s.cluster.price = Price{UsdPerSecond{2.0 / 3600}, {}};
  for (GemmCurve& g : s.calibration.gemms) g.info.residuals = {0.02, 0.05, 10};
  return s;
}

Estimate must(const Scenario& s, unsigned threads = 1) {
  Outcome outcome = estimate(s, threads);
  if (const auto* why = std::get_if<Infeasible>(&outcome)) {
    ADD_FAILURE() << why->reason;
    return {};
  }
  return std::get<Estimate>(std::move(outcome));
}

TEST(Estimate, TheAnswerIsTheSteadyStepsPace) {
  const Scenario s = with_a_run();
  const Estimate e = must(s);
  EXPECT_DOUBLE_EQ(e.answer.gpu_hours_per_trillion_tokens, gpu_hours(e.step.time, 32) / e.step.tokens * 1e12);
  EXPECT_DOUBLE_EQ(e.answer.usd_per_trillion_tokens->value(), 2 * e.answer.gpu_hours_per_trillion_tokens);
  EXPECT_LT(e.answer.low, e.answer.gpu_hours_per_trillion_tokens);
  EXPECT_GT(e.answer.high, e.answer.gpu_hours_per_trillion_tokens);
  EXPECT_EQ(e.step.time, std::get<StepResult>(simulate_step(s)).time);
}

TEST(Estimate, ARunIsTheSumOfItsPhases) {
  const Estimate e = must(with_a_run());
  ASSERT_TRUE(e.run);
  ASSERT_EQ(e.run->phases.size(), 4u);
  double tokens = 0, steps = 0, hours = 0;
  for (const PhaseResult& p : e.run->phases) {
    EXPECT_DOUBLE_EQ(p.steps, p.tokens / static_cast<double>(p.global_batch_size * p.sequence_length));
    EXPECT_DOUBLE_EQ(p.gpu_hours, p.steps * gpu_hours(p.step_time, 32));
    tokens += p.tokens;
    steps += p.steps;
    hours += p.gpu_hours;
  }
  EXPECT_DOUBLE_EQ(e.run->tokens, tokens);
  EXPECT_NEAR(tokens, 1e12, 1);
  EXPECT_DOUBLE_EQ(e.run->steps, steps);
  EXPECT_DOUBLE_EQ(e.run->gpu_hours, hours);
  EXPECT_DOUBLE_EQ(e.run->days * 24 * 32, hours);
  EXPECT_DOUBLE_EQ(e.run->usd->value(), 2 * hours);
  EXPECT_DOUBLE_EQ(e.run->gpu_hours_per_trillion_tokens, hours / tokens * 1e12);
}

TEST(Estimate, ALaterPhaseIsAScenarioOfItsOwn) {
  Scenario s = with_a_run();
  LaterPhase longer{"longer", s.training, s.plan};
  longer.training.tokens = 1e10;
  longer.training.sequence_length *= 2;
  longer.training.global_batch_size /= 2;
  longer.training.batch_size_schedule.reset();
  longer.plan.recompute = {RecomputeModule::layer};
  const Estimate without = must(s);
  s.later = {longer};
  const Estimate with = must(s);
  ASSERT_TRUE(with.run);
  ASSERT_EQ(with.run->phases.size(), without.run->phases.size() + 1);
  const PhaseResult& phase = with.run->phases.back();
  Scenario alone = s;
  alone.training = longer.training;
  alone.plan = longer.plan;
  alone.later.clear();
  EXPECT_EQ(phase.step_time, must(alone).step.time);
  EXPECT_EQ(phase.name, "longer");
  EXPECT_EQ(phase.sequence_length, longer.training.sequence_length);
  EXPECT_DOUBLE_EQ(with.run->gpu_hours, without.run->gpu_hours + phase.gpu_hours);
  EXPECT_DOUBLE_EQ(with.run->tokens, without.run->tokens + 1e10);
  EXPECT_EQ(with.answer.gpu_hours_per_trillion_tokens, without.answer.gpu_hours_per_trillion_tokens);  // of the main run's last batch
}

TEST(Estimate, ALaterPhaseThatCannotRunIsNamed) {
  Scenario s = with_a_run();
  LaterPhase huge{"huge", s.training, s.plan};
  huge.training.batch_size_schedule.reset();
  huge.plan.tensor_parallel = 64;
  s.later = {huge};
  const Outcome outcome = estimate(s, 1);
  const auto* why = std::get_if<Infeasible>(&outcome);
  ASSERT_NE(why, nullptr);
  EXPECT_EQ(why->reason.rfind("phase 'huge': ", 0), 0u) << why->reason;
}

TEST(Estimate, SmallBatchesPayMoreBubble) {
  const Estimate e = must(with_a_run());
  const auto pace = [](const PhaseResult& p) { return p.gpu_hours / p.tokens; };
  for (std::size_t i = 1; i < e.run->phases.size(); ++i) EXPECT_LT(pace(e.run->phases[i]), pace(e.run->phases[i - 1]));
  EXPECT_GT(e.run->gpu_hours_per_trillion_tokens, e.answer.gpu_hours_per_trillion_tokens);
}

TEST(Estimate, ThreadsChangeNothing) {
  const Scenario s = with_a_run();
  const Estimate one = must(s, 1);
  for (const unsigned threads : {2u, 5u}) {
    const Estimate more = must(s, threads);
    EXPECT_EQ(more.step.time, one.step.time);
    EXPECT_EQ(more.answer.low, one.answer.low);
    ASSERT_EQ(more.run->phases.size(), one.run->phases.size());
    for (std::size_t i = 0; i < one.run->phases.size(); ++i) EXPECT_EQ(more.run->phases[i].gpu_hours, one.run->phases[i].gpu_hours);
  }
}

TEST(Estimate, WithoutTokensThereIsNoRun) {
  Scenario s = with_a_run();
  s.training.tokens = 0;
  s.training.batch_size_schedule.reset();
  EXPECT_FALSE(must(s).run);
}

TEST(Estimate, WithoutAPriceNothingCosts) {
  Scenario s = with_a_run();
  s.cluster.price.reset();
  const Estimate e = must(s);
  EXPECT_FALSE(e.answer.usd_per_trillion_tokens);
  EXPECT_FALSE(e.run->usd);
}

TEST(Estimate, TheRampKeepsToBatchesThatTheScheduleRuns) {
  Scenario s = with_a_run();
  s.plan.schedule = ScheduleKind::dualpipe;  // at least 8 micro-batches, an even number
  s.training.batch_size_schedule = BatchRamp{8, 128, 2e11, 5};
  const Estimate e = must(s);
  for (const PhaseResult& p : e.run->phases) {
    EXPECT_EQ(p.global_batch_size % (8 * 2), 0);
    EXPECT_GE(p.global_batch_size, 8 * 8);
  }
}

TEST(Estimate, APairIsCountedOnItsOwn) {
  Scenario s = with_a_run();
  s.plan.schedule = ScheduleKind::dualpipe;
  s.extent = Extent::overlapped_pair;
  s.pair_layers = 2;
  const Estimate e = must(s);
  EXPECT_FALSE(e.run);
  EXPECT_GT(e.step.phases.forward_backward.value(), 0);
  EXPECT_NEAR(e.step.phases.forward_backward.value(), e.step.time.value(), 1e-9 * e.step.time.value());
}

TEST(Estimate, APlanThatCannotRunIsAValue) {
  Scenario s = with_a_run();
  s.cluster.gpu.usable_memory = Bytes{1e9};
  const Outcome outcome = estimate(s);
  ASSERT_TRUE(std::holds_alternative<Infeasible>(outcome));
  EXPECT_FALSE(std::get<Infeasible>(outcome).reason.empty());
}

}  // namespace
}  // namespace trillion::estimate_test
