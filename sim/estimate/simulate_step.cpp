#include <utility>

#include "sim/engine/engine.h"
#include "sim/estimate/estimate.h"
#include "sim/estimate/prepare.h"
#include "sim/estimate/steady_step.h"
#include "sim/estimate/summarize.h"
#include "sim/estimate/traced_step.h"
#include "sim/workload/step_clock.h"

namespace trillion {

namespace {

// Lowered and run at the clock that the chip holds, among equal steps.
SteadyStep run_step(const Scenario& s, const PreparedStep& step, const Timing& timing, Detail detail) {
  LoweringInput input{s, step.mesh, step.schedule, step.cut, step.load, timing};
  input.clock_mhz = step_clock_mhz(input);
  return steady_step(input, detail);
}

}  // namespace

StepResult simulate_prepared(const Scenario& scenario, const PreparedStep& step, const Timing& timing) {
  Scenario s = scenario;
  s.plan = step.plan;
  const SteadyStep steady = run_step(s, step, timing, Detail::runs);
  return summarize(s, step, steady.lowered, steady.trace, timing);
}

std::variant<TracedStep, Infeasible> trace_step(const Scenario& scenario, const Timing& timing) {
  auto outcome = prepare(scenario, timing);
  if (const auto* why = std::get_if<Infeasible>(&outcome)) return *why;
  auto& step = std::get<PreparedStep>(outcome);
  Scenario s = scenario;
  s.plan = step.plan;
  SteadyStep steady = run_step(s, step, timing, Detail::kernels);
  StepResult result = summarize(s, step, steady.lowered, steady.trace, timing);
  return TracedStep{std::move(step), std::move(steady.lowered), std::move(steady.trace), std::move(result)};
}

StepOutcome simulate_step(const Scenario& scenario) {
  const Timing timing(scenario.calibration, scenario.cluster);  // how long one thing takes
  auto outcome = prepare(scenario, timing);                     // who computes what, where, in which order; does it fit
  if (const auto* why = std::get_if<Infeasible>(&outcome)) return *why;
  return simulate_prepared(scenario, std::get<PreparedStep>(outcome), timing);
}

}  // namespace trillion
