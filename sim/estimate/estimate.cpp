#include "sim/estimate/estimate.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "sim/base/parallel_for.h"
#include "sim/estimate/prepare.h"
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
    if (!why_no_schedule(plan, m)) return m;
  }
  return wanted;
}

// The batch sizes of the run below the final one, as the plan can run them.
std::vector<RunPhase> stretches(const Scenario& s, std::int64_t data_parallel) {
  const std::int64_t sequences = data_parallel * s.plan.micro_batch_size;
  std::vector<RunPhase> phases = run_phases(s.training, sequences, sequences);
  for (RunPhase& phase : phases) {
    phase.global_batch_size = sequences * runnable_micro_batches(s.plan, phase.global_batch_size / sequences);
  }
  return phases;
}

std::vector<PhaseResult> main_run(const Scenario& s, const std::vector<RunPhase>& phases,
                                  const std::map<std::int64_t, StepResult>& step_of_batch) {
  std::vector<PhaseResult> results;
  for (const RunPhase& phase : phases) {
    const StepResult& step = step_of_batch.at(phase.global_batch_size);
    const double steps = phase.tokens / step.tokens;
    const double hours = gpu_hours(step.time, s.cluster.gpus()) * steps;
    results.push_back({{}, phase.tokens, steps, phase.global_batch_size, phase.sequence_length, step.time, hours});
  }
  return results;
}

RunResult sum_up(const Scenario& s, std::vector<PhaseResult> phases) {
  RunResult run;
  run.phases = std::move(phases);
  for (const PhaseResult& phase : run.phases) {
    run.tokens += phase.tokens;
    run.steps += phase.steps;
    run.gpu_hours += phase.gpu_hours;
  }
  run.days = run.gpu_hours / static_cast<double>(s.cluster.gpus()) / 24;
  run.gpu_hours_per_trillion_tokens = run.gpu_hours / run.tokens * kTrillion;
  run.usd = rent(run.gpu_hours, s.cluster);
  run.energy = energy(run.gpu_hours, s.cluster);
  return run;
}

// One step for each batch size, the final one among them; small batches pay more pipeline bubble. `final_step` has been prepared:
// the cut of the model and the routing are one for the whole run.
std::variant<std::map<std::int64_t, StepResult>, Infeasible> simulate_batches(const Scenario& s, const PreparedStep& final_step,
                                                                              const std::vector<RunPhase>& phases, unsigned threads) {
  const Timing timing(s.calibration, s.cluster);
  std::set<std::int64_t, std::greater<>> sizes{s.training.global_batch_size};  // the longest first
  for (const RunPhase& phase : phases) sizes.insert(phase.global_batch_size);
  const std::vector<std::int64_t> batches(sizes.begin(), sizes.end());
  std::vector<StepOutcome> outcomes(batches.size(), StepOutcome{Infeasible{}});
  parallel_for(batches.size(), threads, [&](std::size_t i) {
    Scenario at = s;
    at.training.global_batch_size = batches[i];
    at.plan.layers_per_stage = final_step.plan.layers_per_stage;
    auto prepared = prepare(at, timing, final_step.load);
    if (const auto* why = std::get_if<Infeasible>(&prepared)) {
      outcomes[i] = *why;
    } else {
      outcomes[i] = simulate_prepared(at, std::get<PreparedStep>(prepared), timing);
    }
  });
  std::map<std::int64_t, StepResult> results;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    if (const auto* why = std::get_if<Infeasible>(&outcomes[i])) return *why;
    results.emplace(batches[i], std::get<StepResult>(std::move(outcomes[i])));
  }
  return results;
}

Answer answer_of(const StepResult& step, const Scenario& s) {
  Answer a;
  a.gpu_hours_per_trillion_tokens = hours_per_trillion_tokens(step, s);
  a.low = a.gpu_hours_per_trillion_tokens * step.time_low_ratio;
  a.high = a.gpu_hours_per_trillion_tokens * step.time_high_ratio;
  a.usd_per_trillion_tokens = rent(a.gpu_hours_per_trillion_tokens, s.cluster);
  return a;
}

// What each of training.phases takes, as a scenario of its own: its longer sequences and its layout must fit too.
std::optional<Infeasible> add_later_phases(const Scenario& s, unsigned threads, std::vector<PhaseResult>& phases) {
  for (const LaterPhase& later : s.later) {
    Scenario at = s;
    at.training = later.training;
    at.plan = later.plan;
    at.later.clear();
    Outcome outcome = estimate(at, threads);
    if (auto* why = std::get_if<Infeasible>(&outcome)) {
      why->reason = "phase '" + later.name + "': " + why->reason;
      return *why;
    }
    for (PhaseResult& phase : std::get<Estimate>(outcome).run->phases) {
      phase.name = later.name;
      phases.push_back(std::move(phase));
    }
  }
  return std::nullopt;
}

}  // namespace

Outcome estimate(const Scenario& s, unsigned threads) {
  const Timing timing(s.calibration, s.cluster);
  auto outcome = prepare(s, timing);
  if (const auto* why = std::get_if<Infeasible>(&outcome)) return *why;
  const auto& prepared = std::get<PreparedStep>(outcome);
  Estimate e;
  if (s.extent == Extent::overlapped_pair) {
    e.step = simulate_prepared(s, prepared, timing);
  } else {
    const std::vector<RunPhase> phases = s.training.tokens > 0 ? stretches(s, *prepared.plan.data_parallel) : std::vector<RunPhase>{};
    auto steps = simulate_batches(s, prepared, phases, threads);
    if (const auto* why = std::get_if<Infeasible>(&steps)) return *why;
    const auto& step_of_batch = std::get<0>(steps);
    e.step = step_of_batch.at(s.training.global_batch_size);
    if (!phases.empty()) {
      std::vector<PhaseResult> all = main_run(s, phases, step_of_batch);
      if (const auto why = add_later_phases(s, threads, all)) return *why;
      e.run = sum_up(s, std::move(all));
    }
  }
  e.answer = answer_of(e.step, s);
  e.size = model_size(s.model);
  e.token_flops = flops_per_token(s.model, s.training.sequence_length);
  // MFU of an FP8 run is told against the BF16 peak, as DeepSeek's and NVIDIA's tables do; the report says so.
  e.conventions = {s.cluster.gpu.peak_bf16, Precision::bf16, s.cluster.gpu.usable_memory};
  return e;
}

}  // namespace trillion
