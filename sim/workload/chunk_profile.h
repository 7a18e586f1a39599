// How long one action of a schedule takes by itself, kernel by kernel, and when it needs and leaves what its neighbours wait for: what a
// chunk of the same blocks looks like wherever it stands in a step.
#pragma once

#include <vector>

#include "sim/workload/lower.h"

namespace trillion {

// Seconds after the action's start, everything it waits for being there, the first bucket of its parameters too. A stretch that does not
// occur ends before it begins.
struct ChunkProfile {
  struct Stretch {
    double first = 0, end = -1;
    bool any() const { return end >= first; }
  };
  Stretch compute;        // of the rank's compute stream
  Stretch communication;  // of its expert, tensor and context streams
  Stretch forward;        // from the first kernel of the forward pass to its result; end: what the next stage waits for
  Stretch backward;       // the same of the backward pass; its weight gradients come after its end
  Stretch reduction;      // of its gradients, where the action reduces some
};

// What is asked of them: the schedule's stages are those of `input.cut`, the actions may be any; input.beside: one for each, or empty.
// REQUIRES: input.schedule is not looked at; no parameters are gathered in every pass (zero-3), nothing is offloaded.
std::vector<ChunkProfile> chunk_profiles(const LoweringInput& input, const std::vector<Action>& actions);

}  // namespace trillion
