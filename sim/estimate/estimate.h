// One plan, one answer. The planner, a Python binding or a web page calls estimate() and nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/estimate/step_result.h"
#include "sim/spec/infeasible.h"
#include "sim/spec/scenario.h"
#include "sim/workload/counts.h"

namespace trillion {

using StepOutcome = std::variant<StepResult, Infeasible>;

// One training step at training.global_batch_size.
StepOutcome simulate_step(const Scenario& scenario);

// A part of the run with one batch size, sequence length and layout.
struct PhaseResult {
  std::string name;  // of training.phases; empty: the main run
  double tokens = 0;
  double steps = 0;
  std::int64_t global_batch_size = 0, sequence_length = 0;
  Seconds step_time;
  double gpu_hours = 0;
};

// The whole run: the main one with its batch ramp, then training.phases, all simulated. Empty when training.tokens is 0.
struct RunResult {
  double tokens = 0, steps = 0, gpu_hours = 0, days = 0, gpu_hours_per_trillion_tokens = 0;
  std::optional<Usd> usd;  // empty when the cluster has no price
  std::optional<Joules> energy;
  std::vector<PhaseResult> phases;
};

// Which conventions the printed figures follow.
struct Conventions {
  FlopsPerSecond peak;
  Precision peak_precision = Precision::bf16;
  Bytes usable_memory;
};

struct Answer {
  double gpu_hours_per_trillion_tokens = 0;
  double low = 0, high = 0;  // 90 % interval
  std::optional<Usd> usd_per_trillion_tokens;
};

struct Estimate {
  Answer answer;  // at the final batch size
  StepResult step;
  std::optional<RunResult> run;
  ModelSize size;
  TokenFlops token_flops;
  Conventions conventions;
};

using Outcome = std::variant<Estimate, Infeasible>;

// `threads`: at most so many at once, 0: one per core. The outcome does not depend on it.
Outcome estimate(const Scenario& scenario, unsigned threads = 0);

}  // namespace trillion
