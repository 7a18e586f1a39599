#include "sim/planner/score.h"

#include <algorithm>
#include <limits>

#include "sim/estimate/price.h"

namespace trillion {

Score score_of(const Scenario& on, std::int64_t nodes, Seconds step_time, double dearer) {
  constexpr double kTrillion = 1e12;
  const Search& q = on.search;
  const double step_tokens = static_cast<double>(on.training.global_batch_size) * static_cast<double>(on.training.sequence_length);
  const double tokens = on.training.tokens > 0 ? on.training.tokens : kTrillion;
  const Seconds run = step_time * (tokens / step_tokens);
  const double hours = gpu_hours(run, nodes * on.cluster.gpus_per_node);
  auto usd = rent(hours, on.cluster);
  if (usd) *usd *= dearer;
  Score s;
  if (q.deadline) s.beyond += std::max(0.0, run / *q.deadline - 1);
  if (q.budget) s.beyond += usd ? std::max(0.0, *usd / *q.budget - 1) : std::numeric_limits<double>::infinity();
  switch (q.objective) {
    case Objective::gpu_hours: s.value = hours; break;
    case Objective::usd: s.value = usd ? usd->value() : hours; break;
    case Objective::days: s.value = run.value(); break;
  }
  return s;
}

}  // namespace trillion
