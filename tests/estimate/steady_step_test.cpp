// A step among equal steps, on a machine whose kernels take known times. What must hold, with D what the device computes in a step
// and H what the host issues in one:
//   H < D    the host runs ahead: the step takes D
//   H > D    the host is the limit: the step takes H
//   a kernel that the host waits for lets the device idle behind it, even where H < D
//   a stack that nobody issues by hand has no host in its graph; with the word `launches` a fused one has, which waits for what its
//   pipeline neighbours send, so that it cannot run ahead
#include "sim/estimate/steady_step.h"

#include <gtest/gtest.h>

#include "tests/support/laid_out_step.h"

namespace trillion::steady_step_test {
namespace {

using namespace testing_support;

Scenario eager(Model model, double host_s) {
  Scenario s = linear_scenario(std::move(model), {}, 1, 8);
  s.calibration.stack.framework.value = Framework::torch_eager;
  s.calibration.stack.host_product.value = s.calibration.stack.host_elementwise.value = Seconds{host_s};
  s.training.optimizer_state.master_weight_bytes = 0;
  return s;
}

double step_time(const Scenario& s) {
  const LaidOutStep step(s);
  return steady_step({step.scenario, step.mesh, step.schedule, step.cut, step.load, step.timing}).trace.makespan.seconds().value();
}

std::size_t launches(const Scenario& s) {
  const LaidOutStep step(s);
  const LoweredStep lowered = step.lowered();
  return lowered.graph.tasks_of(lowered.streams[0][static_cast<std::size_t>(Lane::host)]).size();
}

// Of the host to issue one step.
double issue_time(const Scenario& s) {
  const LaidOutStep step(s);
  const LoweredStep lowered = step.lowered();
  double seconds = 0;
  for (const TaskId t : lowered.graph.tasks_of(lowered.streams[0][static_cast<std::size_t>(Lane::host)])) {
    seconds += lowered.graph.kind_of(t).duration.seconds().value();
  }
  return seconds;
}

TEST(SteadyStep, AHostThatKeepsUpCostsNothing) {
  const double device = step_time(eager(dense_model(2), 0));
  EXPECT_EQ(launches(eager(dense_model(2), 0)), 0u);
  EXPECT_GT(launches(eager(dense_model(2), 1e-6)), 100u);
  EXPECT_NEAR(step_time(eager(dense_model(2), 1e-6)) / device, 1, 1e-9);
}

TEST(SteadyStep, AHostThatFallsBehindIsTheLimit) {
  const Scenario s = eager(dense_model(2), 1.0);
  EXPECT_GT(issue_time(s), static_cast<double>(launches(s)));  // views and module calls besides the kernels
  // All launches, and the last kernel after the last one.
  EXPECT_NEAR(step_time(s), issue_time(s), 0.1);
}

TEST(SteadyStep, WaitingForAResultLetsTheDeviceIdle) {
  const double device = step_time(eager(moe_model(2), 0)), with_host = step_time(eager(moe_model(2), 20e-6));
  EXPECT_GT(with_host, device + 2 * 20e-6);
  Scenario slow = eager(moe_model(2), 20e-6);
  slow.calibration.stack.host_wait.value = Seconds{1e-3};
  EXPECT_GT(step_time(slow), with_host + 3e-3);  // two waits a layer, less what the device still had to do
  EXPECT_LT(with_host, 1.2 * device);
}

// Autograd issues one operation after the other, and NCCL's stream and the compute stream wait for each other.
TEST(SteadyStep, NothingComputesBesideAnExchangeOfPyTorch) {
  Plan plan;
  plan.data_parallel = plan.expert_parallel = 8;
  plan.expert_exchange = ExpertExchange::all_to_all;
  Scenario s = linear_scenario(moe_model(2), plan, 1, 8);
  s.training.optimizer_state.master_weight_bytes = 0;
  s.calibration.stack.framework.value = Framework::torch_eager;
  const LaidOutStep step(s);
  const SteadyStep steady = steady_step({step.scenario, step.mesh, step.schedule, step.cut, step.load, step.timing});
  const auto tasks = [&](Lane lane) { return steady.lowered.graph.tasks_of(steady.lowered.streams[0][static_cast<std::size_t>(lane)]); };
  int exchanges = 0;
  for (const TaskId e : tasks(Lane::expert)) {
    ++exchanges;
    EXPECT_LT(steady.trace.start[e.value], steady.trace.end[e.value]);
    for (const TaskId k : tasks(Lane::compute)) {
      EXPECT_FALSE(steady.trace.start[k.value] < steady.trace.end[e.value] && steady.trace.end[k.value] > steady.trace.start[e.value]);
    }
  }
  EXPECT_EQ(exchanges, 4 * 2);
}

TEST(SteadyStep, AFusedStackHasNoHost) {
  Scenario s = linear_scenario(dense_model(2), {}, 1, 8);
  s.calibration.stack.host_product.value = s.calibration.stack.host_elementwise.value = Seconds{1};
  EXPECT_EQ(launches(s), 0u);
  s.calibration.stack.unfused.value = {UnfusedPart::launches};
  EXPECT_GT(launches(s), 20u);
  EXPECT_NEAR(step_time(s) / issue_time(s), 1, 0.1);
}

TEST(SteadyStep, AHostThatWaitsForItsNeighboursCannotRunAhead) {
  const auto pipelined = [](double host_s, std::vector<UnfusedPart> words) {
    Plan plan;
    plan.pipeline_parallel = 2;
    plan.schedule = ScheduleKind::one_f_one_b;
    Scenario s = linear_scenario(dense_model(2), plan, 1, 8);
    s.calibration.stack.host_product.value = s.calibration.stack.host_elementwise.value = Seconds{host_s};
    s.calibration.stack.unfused.value = std::move(words);
    return step_time(s);
  };
  const double device = pipelined(0, {UnfusedPart::launches});
  EXPECT_NEAR(pipelined(20e-6, {}) / device, 1, 1e-9);
  // At least the first launch after each arrival is seen: of the second stage's forward pass and of the first one's backward pass.
  EXPECT_GT(pipelined(20e-6, {UnfusedPart::launches}), device + 2 * 20e-6);
}

}  // namespace
}  // namespace trillion::steady_step_test
