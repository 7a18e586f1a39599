#include "sim/planner/run_lengths.h"

#include <algorithm>

namespace trillion {

RunLengths run_lengths(const Plan& plan, std::int64_t micro_batches) {
  const std::int64_t p = std::max<std::int64_t>(2, plan.pipeline_parallel);
  const std::int64_t rounds = plan.schedule == ScheduleKind::interleaved_1f1b ? 6 : 4;
  if (micro_batches <= (rounds + 1) * p) return {micro_batches, micro_batches};
  return {rounds * p, (rounds - 1) * p};
}

}  // namespace trillion
