// How many micro-batches a step is screened with: all, or two smaller numbers, whose difference says what each further one adds.
//
// The shorter must outlast what the warm-up has saved up for the slowest rank: until that is used up a step grows more slowly than it
// will. Interleaved chunks save up the most.
#pragma once

#include <cstdint>

#include "sim/spec/plan.h"

namespace trillion {

struct RunLengths {
  std::int64_t longer, shorter;  // equal: the whole step
};

// REQUIRES: micro_batches >= 1.
RunLengths run_lengths(const Plan& plan, std::int64_t micro_batches);

}  // namespace trillion
