#include "sim/estimate/training_run.h"

#include <algorithm>
#include <cmath>

namespace trillion {

std::vector<RunPhase> run_phases(const Training& t, std::int64_t multiple, std::int64_t least) {
  std::vector<RunPhase> phases;
  double ramp_tokens = 0;
  if (t.batch_size_schedule) {
    const BatchRamp& ramp = *t.batch_size_schedule;
    ramp_tokens = std::min(ramp.tokens, t.tokens);
    const double stairs = static_cast<double>(ramp.stairs);
    for (std::int64_t i = 0; i < ramp.stairs; ++i) {
      const double middle = (static_cast<double>(i) + 0.5) / stairs;
      const double batch = static_cast<double>(ramp.from) + middle * static_cast<double>(ramp.to - ramp.from);
      const auto rounded = static_cast<std::int64_t>(std::llround(batch / static_cast<double>(multiple))) * multiple;
      phases.push_back({ramp_tokens / stairs, std::max(rounded, least), t.sequence_length});
    }
  }
  if (t.tokens > ramp_tokens) phases.push_back({t.tokens - ramp_tokens, t.global_batch_size, t.sequence_length});
  return phases;
}

}  // namespace trillion
