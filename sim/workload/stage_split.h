// How many decoder layers each pipeline stage gets when the plan does not say: the contiguous split whose slowest rank is fastest.
//
// A stage costs the sum of its layers; the first one also the embedding, the last one also the head and what follows it
// (multi-token prediction). Minimised in this order:
//   1. the largest cost of a rank: of a stage, or, where `paired`, of stages r and S - 1 - r together, which DualPipe, DualPipeV and
//      ZB-V put on rank r
//   2. the largest cost of a stage
//   3. the sum of the squares of all stages, so that a small imbalance is spread
// Costs count in trillionths of their sum. Exact, by dynamic programming over the layers; equal inputs give equal splits. Every stage gets
// a layer if there are enough; otherwise none gets two. Milliseconds up to the 126 layers of the deepest models, paired seconds from a
// thousand.
//
// Example: six equal layers of cost 1, head of cost 2, three stages: 2 3 1 costs 2 3 3; 2 2 2 would cost 2 2 4.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

namespace trillion {

struct StageShape {
  std::int64_t stages = 1;
  bool paired = false;  // rank r runs stages r and S - 1 - r
  auto operator<=>(const StageShape&) const = default;
};

// Layers per stage, first stage first; they add up to layer_costs.size().
// REQUIRES: costs finite and not negative; stages >= 1, even where paired.
std::vector<std::int64_t> split_layers(const std::vector<double>& layer_costs, double first_stage_extra, double last_stage_extra,
                                       StageShape shape);

}  // namespace trillion
