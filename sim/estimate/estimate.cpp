#include "sim/estimate/estimate.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "sim/base/parallel_for.h"
#include "sim/estimate/price.h"
#include "sim/estimate/training_run.h"
#include "sim/workload/device_mesh.h"
#include "sim/workload/schedule.h"

namespace trillion {

namespace {

constexpr double kTrillion = 1e12;

double hours_per_trillion_tokens(const StepResult& step, const Scenario& s) {
  const std::int64_t gpus = s.extent == Extent::step ? s.cluster.gpus() : 1;
  return gpu_hours(step.time, gpus) / step.tokens * kTrillion;
}

// The smallest number of micro-batches, at or above `wanted`, that the schedule runs.
std::int64_t runnable_micro_batches(const Plan& plan, std::int64_t wanted) {
  std::int64_t m = std::max<std::int64_t>(1, wanted);
  for (std::int64_t tries = 0; tries < 4 * plan.pipeline_parallel + 4; ++tries, ++m) {
    if (!why_not(plan.schedule, plan.pipeline_parallel, m, plan.virtual_pipeline_stages)) return m;
  }
  return wanted;
}

// Each batch size of the run is simulated: small batches pay more pipeline bubble.
std::variant<RunResult, Infeasible> simulate_run(const Scenario& s, const StepResult& steady) {
  const std::int64_t sequences = steady.data_parallel * s.plan.micro_batch_size;
  std::vector<RunPhase> phases = run_phases(s.training, sequences, sequences);
  std::vector<StepOutcome> outcomes(phases.size(), StepOutcome{Infeasible{}});
  parallel_for(phases.size(), 0, [&](std::size_t i) {
    RunPhase& phase = phases[i];
    phase.global_batch_size = sequences * runnable_micro_batches(s.plan, phase.global_batch_size / sequences);
    Scenario at = s;
    at.training.global_batch_size = phase.global_batch_size;
    // The cut of the model is one for the whole run.
    at.plan.layers_per_stage = steady.layers_per_stage;
    outcomes[i] = phase.global_batch_size == s.training.global_batch_size ? StepOutcome{steady} : simulate_step(at);
  });
  RunResult run;
  for (std::size_t i = 0; i < phases.size(); ++i) {
    if (const auto* why = std::get_if<Infeasible>(&outcomes[i])) return *why;
    const auto& step = std::get<StepResult>(outcomes[i]);
    const double steps = phases[i].tokens / step.tokens;
    PhaseResult p{phases[i].tokens,          steps,     phases[i].global_batch_size,
                  phases[i].sequence_length, step.time, gpu_hours(step.time, s.cluster.gpus()) * steps};
    run.tokens += p.tokens;
    run.steps += p.steps;
    run.gpu_hours += p.gpu_hours;
    run.phases.push_back(p);
  }
  run.days = run.gpu_hours / static_cast<double>(s.cluster.gpus()) / 24;
  run.gpu_hours_per_trillion_tokens = run.gpu_hours / run.tokens * kTrillion;
  run.usd = rent(run.gpu_hours, s.cluster);
  run.energy = energy(run.gpu_hours, s.cluster);
  return run;
}

Answer answer_of(const StepResult& step, const Scenario& s) {
  Answer a;
  a.gpu_hours_per_trillion_tokens = hours_per_trillion_tokens(step, s);
  a.low = a.gpu_hours_per_trillion_tokens * step.time_low_ratio;
  a.high = a.gpu_hours_per_trillion_tokens * step.time_high_ratio;
  a.usd_per_trillion_tokens = rent(a.gpu_hours_per_trillion_tokens, s.cluster);
  return a;
}

}  // namespace

Outcome estimate(const Scenario& s) {
  StepOutcome outcome = simulate_step(s);
  if (const auto* why = std::get_if<Infeasible>(&outcome)) return *why;
  Estimate e;
  e.step = std::move(std::get<StepResult>(outcome));
  e.answer = answer_of(e.step, s);
  if (s.extent == Extent::step && s.training.tokens > 0) {
    auto run = simulate_run(s, e.step);
    if (const auto* why = std::get_if<Infeasible>(&run)) return *why;
    e.run = std::get<RunResult>(std::move(run));
  }
  e.size = model_size(s.model);
  e.token_flops = flops_per_token(s.model, s.training.sequence_length);
  // MFU of an FP8 run is told against the BF16 peak, as DeepSeek's and NVIDIA's tables do; the report says so.
  e.conventions = {s.cluster.gpu.peak_bf16, Precision::bf16, s.cluster.gpu.usable_memory};
  return e;
}

}  // namespace trillion
