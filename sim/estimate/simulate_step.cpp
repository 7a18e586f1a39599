#include <utility>

#include "sim/engine/engine.h"
#include "sim/estimate/estimate.h"
#include "sim/estimate/prepare.h"
#include "sim/estimate/summarize.h"
#include "sim/estimate/traced_step.h"

namespace trillion {

StepResult simulate_prepared(const Scenario& scenario, const PreparedStep& step, const Timing& timing) {
  Scenario s = scenario;
  s.plan = step.plan;
  const LoweredStep lowered = lower({s, step.mesh, step.schedule, step.cut, step.load, timing}, Detail::runs);
  const Trace trace = run(lowered.graph);  // when everything happened
  return summarize(s, step, lowered, trace, timing);
}

std::variant<TracedStep, Infeasible> trace_step(const Scenario& scenario, const Timing& timing) {
  auto outcome = prepare(scenario, timing);
  if (const auto* why = std::get_if<Infeasible>(&outcome)) return *why;
  auto& step = std::get<PreparedStep>(outcome);
  Scenario s = scenario;
  s.plan = step.plan;
  LoweredStep lowered = lower({s, step.mesh, step.schedule, step.cut, step.load, timing}, Detail::kernels);
  Trace trace = run(lowered.graph);
  StepResult result = summarize(s, step, lowered, trace, timing);
  return TracedStep{std::move(step), std::move(lowered), std::move(trace), std::move(result)};
}

StepOutcome simulate_step(const Scenario& scenario) {
  const Timing timing(scenario.calibration, scenario.cluster);  // how long one thing takes
  auto outcome = prepare(scenario, timing);                     // who computes what, where, in which order; does it fit
  if (const auto* why = std::get_if<Infeasible>(&outcome)) return *why;
  return simulate_prepared(scenario, std::get<PreparedStep>(outcome), timing);
}

}  // namespace trillion
