// What one step must obey, whatever the model, the plan and the machine:
//   phases        add up to the step's time
//   work          the kernels' FLOPs are the published formula's, plus what attention's backward pass computes again
//   bubble        1F1B on even stages: (p - 1) / (m + p - 1) of the step (Narayanan et al. 2021, section 2.2)
//   overlap       with free communication nothing is exposed; an exchange shorter than the computation beside it is hidden
//   monotone      faster links, or none, never lengthen a step
//   determinism   the same scenario gives the same bits
#include <gtest/gtest.h>

#include <cmath>

#include "sim/estimate/estimate.h"
#include "tests/support/linear_machine.h"

namespace trillion::simulate_step_test {
namespace {

using namespace testing_support;

StepResult must_run(const Scenario& s) {
  StepOutcome outcome = simulate_step(s);
  if (const auto* why = std::get_if<Infeasible>(&outcome)) {
    ADD_FAILURE() << why->reason;
    return {};
  }
  return std::get<StepResult>(outcome);
}

Plan pipeline_plan(ScheduleKind schedule, std::int64_t stages) {
  Plan p;
  p.schedule = schedule;
  p.pipeline_parallel = stages;
  return p;
}

class EverySchedule : public testing::TestWithParam<ScheduleKind> {};

TEST_P(EverySchedule, PhasesAddUpToTheStep) {
  Plan plan = pipeline_plan(GetParam(), 8);
  if (GetParam() == ScheduleKind::interleaved_1f1b) plan.virtual_pipeline_stages = 2;
  plan.expert_parallel = 8;
  for (const Model& model : {dense_model(32), moe_model(32)}) {
    Scenario s = linear_scenario(model, plan, 8, 8 * 32);
    if (!model.moe) s.plan.expert_parallel = 1;
    const StepResult r = must_run(s);
    EXPECT_NEAR(r.phases.total().value(), r.time.value(), 1e-9 * r.time.value()) << model.name;
    EXPECT_GT(r.time.value(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, EverySchedule,
                         testing::Values(ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved_1f1b,
                                         ScheduleKind::zb_h1, ScheduleKind::zb_h2, ScheduleKind::zb_v, ScheduleKind::dualpipe,
                                         ScheduleKind::dualpipe_v),
                         [](const auto& schedule) {
                           std::string name(kScheduleNames[static_cast<std::size_t>(schedule.param)]);
                           std::erase(name, '-');
                           return name;
                         });

TEST(SimulateStep, KernelsDoTheWorkOfTheFormula) {
  for (const Model& model : {dense_model(8), moe_model(8)}) {
    const Scenario s = linear_scenario(model, pipeline_plan(ScheduleKind::one_f_one_b, 1), 1, 64);
    const StepResult r = must_run(s);
    const TokenFlops per_token = flops_per_token(model, s.training.sequence_length);
    // The formula counts causal attention as half of the full matrix; its backward pass computes Q K^T again: 3.5 / 3.
    const double attention = 2 * (per_token.noncausal.value() - per_token.causal.value()) / 2;
    const double expected = (per_token.causal.value() + attention * 0.5 / 3) * r.tokens;
    EXPECT_NEAR(r.hardware_flops.value() / expected, 1, 2e-3) << model.name;
  }
}

TEST(SimulateStep, BubbleOf1F1BIsThePublishedFraction) {
  Scenario s = linear_scenario(dense_model(32), pipeline_plan(ScheduleKind::one_f_one_b, 8), 1, 32);
  s.plan.layers_per_stage = std::vector<std::int64_t>(8, 4);
  s.training.optimizer_state.gradient_bytes = 0;  // no time at the step's end
  s.calibration.collectives.clear();
  s.calibration.collectives = linear_calibration().collectives;
  for (CollectiveCurve& c : s.calibration.collectives) c.nvlink = c.nic = BytesPerSecond{1e18};
  s.cluster.scale_up.bandwidth = BytesPerSecond{1e18};
  const StepResult r = must_run(s);
  const double busy = (r.phases.forward + r.phases.backward).value();
  EXPECT_NEAR(r.phases.bubble.value() / (r.phases.bubble.value() + busy), 7.0 / (32 + 7), 0.01);
}

TEST(SimulateStep, AnOverlappedPairHidesItsExchanges) {
  Plan plan = pipeline_plan(ScheduleKind::dualpipe, 4);
  plan.expert_parallel = 16;
  Scenario s = linear_scenario(moe_model(16), plan, 8, 16 * 96);
  s.cluster.scale_out.nic_bandwidth *= 4;  // so that an exchange is shorter than the computation beside it
  s.cluster.scale_up.bandwidth *= 4;
  const StepResult overlapped = must_run(s);
  s.plan.schedule = ScheduleKind::one_f_one_b;
  const StepResult alone = must_run(s);
  EXPECT_GT(alone.exposed.expert_all_to_all.value(), 3 * overlapped.exposed.expert_all_to_all.value());
}

TEST(SimulateStep, FasterLinksNeverLengthenAStep) {
  Plan plan = pipeline_plan(ScheduleKind::dualpipe, 4);
  plan.expert_parallel = 16;
  Seconds before{1e9};
  for (const double factor : {0.5, 1.0, 2.0, 1e6}) {
    Scenario s = linear_scenario(moe_model(16), plan, 8, 16 * 16);
    s.cluster.scale_out.nic_bandwidth *= factor;
    s.cluster.scale_up.bandwidth *= factor;
    const StepResult r = must_run(s);
    EXPECT_LE(r.time.value(), before.value() * (1 + 1e-9)) << factor;
    before = r.time;
  }
}

// 64 GPUs: two stages of 32 replicas, experts over 16.
Scenario grouped_scenario(ScheduleKind schedule) {
  Plan plan = pipeline_plan(schedule, 2);
  plan.expert_parallel = 16;
  plan.tensor_parallel = 2;
  plan.data_parallel.reset();
  Scenario s = linear_scenario(moe_model(4), plan, 8, 16 * 8);
  s.training.routing.balance = Balance::forced;
  return s;
}

// Nothing, a slow GPU, several, slow links, unequal GPUs, kernels that take a little longer or shorter each time.
std::vector<Perturbations> disturbances() {
  std::vector<Perturbations> result(6);
  result[1].slow_gpus = {{40, 1.3}};
  result[2].slow_gpus = {{3, 1.1}, {50, 1.3}, {51, 1.3}};
  result[3].slow_links = {{17, PerturbedLink::nic, 0.3}, {60, PerturbedLink::nvlink, 0.2}};
  result[4].gpu_spread = 0.05;
  result[5].kernel_jitter = 0.05;
  return result;
}

void expect_folded_is_full(Scenario s, const std::string& which) {
  for (const Perturbations& p : disturbances()) {
    s.perturbations = p;
    s.fidelity = Fidelity::folded;
    const StepResult folded = must_run(s);
    s.fidelity = Fidelity::full;
    const StepResult full = must_run(s);
    EXPECT_EQ(folded.time, full.time) << which;
    EXPECT_LE(folded.tasks, full.tasks);
    if (p.none()) {
      EXPECT_LT(folded.tasks, full.tasks) << which << ": nothing was folded";
    }
    EXPECT_NEAR(folded.compute.experts / full.compute.experts, 1, 1e-12) << "means over all GPUs, simulated or stood for";
    EXPECT_NEAR(folded.hardware_flops / full.hardware_flops, 1, 1e-12);
  }
}

TEST_P(EverySchedule, WhatIsSlowNeverShortensTheStep) {
  Scenario s = grouped_scenario(GetParam());
  if (GetParam() == ScheduleKind::interleaved_1f1b) s.plan.virtual_pipeline_stages = 2;
  const Seconds undisturbed = must_run(s).time;
  for (const Perturbations& p : disturbances()) {
    s.perturbations = p;
    EXPECT_GE(must_run(s).time, undisturbed);
  }
}

TEST_P(EverySchedule, FoldedEqualsFullToThePicosecond) {
  Scenario s = grouped_scenario(GetParam());
  if (GetParam() == ScheduleKind::interleaved_1f1b) s.plan.virtual_pipeline_stages = 2;
  expect_folded_is_full(s, "experts and tensors");

  Scenario context = s;
  context.plan.sequence_parallel = true;
  context.plan.context_parallel = 2;
  context.plan.expert_parallel = 4;
  expect_folded_is_full(context, "sequences and contexts");

  Scenario expert_tensors = s;
  expert_tensors.plan.expert_parallel = 4;
  expert_tensors.plan.expert_tensor_parallel = 2;
  expect_folded_is_full(expert_tensors, "experts in two");

  Scenario sharded = s;
  sharded.plan.sharding = Sharding::zero_2;
  sharded.plan.expert_parallel = 8;
  expect_folded_is_full(sharded, "zero-2");
}

TEST(SimulateStep, FoldedEqualsFullWithParametersInShards) {
  for (const ScheduleKind schedule : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b}) {
    Scenario s = grouped_scenario(schedule);
    s.plan.pipeline_parallel = 1;
    s.plan.sharding = Sharding::zero_3;
    s.plan.expert_parallel = 8;
    expect_folded_is_full(s, "zero-3");
    s.plan.tensor_parallel = 1;
    s.plan.context_parallel = 4;
    expect_folded_is_full(s, "zero-3 and contexts");
  }
}

TEST(SimulateStep, TheBusiestRankStandsForUnevenLoadWithinAFewPercent) {
  Scenario s = grouped_scenario(ScheduleKind::one_f_one_b);
  s.training.routing.balance = Balance::loss_free;
  const StepResult folded = must_run(s);
  s.fidelity = Fidelity::full;
  const StepResult full = must_run(s);
  EXPECT_GT(folded.exposed.straggler.value(), 0);
  EXPECT_NEAR(full.time / folded.time, 1, 0.03);
}

TEST(SimulateStep, JitterLengthensTheStepAndKeepsTheWork) {
  Scenario s = grouped_scenario(ScheduleKind::one_f_one_b);
  const StepResult steady = must_run(s);
  Seconds before = steady.time;
  for (const double jitter : {0.05, 0.2}) {
    s.perturbations.kernel_jitter = jitter;
    const StepResult r = must_run(s);
    EXPECT_GT(r.time, before) << "every collective waits for the slowest of its members";
    EXPECT_NEAR(r.hardware_flops / steady.hardware_flops, 1, 1e-9);
    EXPECT_NEAR(r.compute.attention / steady.compute.attention, 1, 0.02);
    before = r.time;
  }
}

TEST(SimulateStep, IsDeterministic) {
  Plan plan = pipeline_plan(ScheduleKind::dualpipe, 4);
  plan.expert_parallel = 16;
  Scenario s = linear_scenario(moe_model(16), plan, 8, 16 * 16);
  s.training.routing.balance = Balance::loss_free;
  const StepResult a = must_run(s), b = must_run(s);
  EXPECT_EQ(a.time, b.time);
  EXPECT_EQ(a.phases.bubble, b.phases.bubble);
  EXPECT_EQ(a.exposed.expert_all_to_all, b.exposed.expert_all_to_all);
}

TEST(SimulateStep, ImbalanceCostsTime) {
  Plan plan = pipeline_plan(ScheduleKind::one_f_one_b, 2);
  plan.expert_parallel = 32;
  Scenario s = linear_scenario(moe_model(8), plan, 8, 32 * 8);
  const StepResult even = must_run(s);
  EXPECT_EQ(even.exposed.straggler.value(), 0);
  s.training.routing.balance = Balance::none;
  const StepResult skewed = must_run(s);
  EXPECT_GT(skewed.time, even.time);
  EXPECT_GT(skewed.exposed.straggler.value(), 0);
  EXPECT_NEAR(skewed.compute.experts.value(), even.compute.experts.value(), 1e-3 * even.compute.experts.value());
}

TEST(SimulateStep, AStepThatDoesNotFitSaysWhereAndWhatHelps) {
  Scenario s = linear_scenario(dense_model(32), pipeline_plan(ScheduleKind::one_f_one_b, 2), 1, 64);
  s.cluster.gpu.usable_memory = Bytes{20e9};
  const StepOutcome outcome = simulate_step(s);
  const auto* why = std::get_if<Infeasible>(&outcome);
  ASSERT_NE(why, nullptr);
  EXPECT_NE(why->reason.find("pipeline rank"), std::string::npos) << why->reason;
  EXPECT_FALSE(why->help.empty());
}

}  // namespace
}  // namespace trillion::simulate_step_test
