// A pipeline rank's fullest moment: its own order of passes, walked through.
//
//   forward pass      what its stage saves is held, and what else is kept of a pass under way
//   input gradient    what a split backward pass keeps until its weight gradients
//   the other ends    all of that is free, and the stage's gradients are there from then on
//
// A pair's forward pass comes before its backward pass frees anything. The fullest moment is the one before a backward pass: how
// memory changes within that is another question (workload/torch_memory.h). With `gradients` of zero (they have a place of their own) it
// is that of the activations.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/workload/schedule.h"

namespace trillion {

// Of one stage; each may be zero.
struct StageHold {
  Bytes saved;      // by a forward pass, for its backward pass
  Bytes beside;     // of a pass under way, besides; negative where something of `saved` lies in memory that is there anyway
  Bytes split;      // from the input gradients to the weight gradients
  Bytes gradients;  // of the stage's parameters, from its first backward pass on
};

struct FullestMoment {
  std::vector<std::int64_t> held_of_stage;  // micro-batches of each stage under way
  std::int64_t in_flight = 0;               // of all
  Bytes saved, beside;                      // of all; beside: and what split backward passes hold
  std::vector<bool> has_gradients;          // [stage] from passes before
};

FullestMoment fullest_moment(const std::vector<Action>& actions, const std::vector<StageHold>& stages);

}  // namespace trillion
