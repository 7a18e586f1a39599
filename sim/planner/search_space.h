// Which layouts there are: every combination of the axes of `search:` that the cluster, the model and the batch allow.
//
// Axes that are not named take
//   nodes, precision, expert_placement     what the scenario has
//   tensor_parallel                        powers of two within a scale-up domain, with sequence_parallel from 2 on
//   context_parallel                       powers of two that leave 4096 tokens to a rank
//   pipeline_parallel                      powers of two up to 64 and the number of layers
//   virtual_pipeline_stages                2, 4 and 8, with interleaved-1f1b only
//   expert_parallel                        powers of two, up to the number of experts
//   expert_tensor_parallel                 1
//   micro_batch_size                       1, 2, 4, 8
//   schedule                               all eight
//   recompute                              none, selective, full, and the plan's own
//   sharding                               zero-1 and the plan's own; zero-3 without a pipeline
// and what the plan itself says is always among them, so that a search never ends below the plan it began with.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/spec/scenario.h"

namespace trillion {

struct Layout {
  std::int64_t nodes = 1;
  Plan plan;  // data_parallel and layers_per_stage left open unless the scenario's own plan is this one
  friend bool operator==(const Layout&, const Layout&) = default;
};

// In a fixed order, none twice. Every one passes why_layout_impossible(); whether it fits in memory is not looked at.
std::vector<Layout> layouts(const Scenario& scenario);

// The scenario with this layout.
Scenario with_layout(const Scenario& scenario, const Layout& layout);

}  // namespace trillion
