// A run as stretches of equal steps: its batch ramp as stairs, then the steady state.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/spec/scenario.h"

namespace trillion {

struct RunPhase {
  double tokens = 0;
  std::int64_t global_batch_size = 0;
  std::int64_t sequence_length = 0;
};

// The ramp rises linearly in the tokens seen; its stairs carry equal tokens, and each stair's batch is the ramp's mean over it,
// rounded to what the plan can run (`multiple` sequences, at least `least`).
std::vector<RunPhase> run_phases(const Training& training, std::int64_t multiple, std::int64_t least);

}  // namespace trillion
