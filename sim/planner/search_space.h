// Which layouts there are: every combination of the axes of `search:` that the clusters, the model and the batch allow.
//
// Axes that are not named take
//   clusters, precision, expert_placement, offload, rank_order, sharding_group, bucket_parameters     what the scenario has
//   nodes                    the cluster's
//   tensor_parallel          powers of two within a scale-up domain, with sequence_parallel from 2 on
//   tensor_parallel_overlap  bulk and pipelined, and the plan's own
//   context_parallel         powers of two that leave 4096 tokens to a rank, by all three methods
//   pipeline_parallel        powers of two up to 64 and the number of layers
//   virtual_pipeline_stages  2, 4 and 8, with interleaved-1f1b only
//   expert_parallel          powers of two that divide the number of experts
//   expert_tensor_parallel   1, and as many as tensor_parallel
//   data_parallel            what remains
//   micro_batch_size         1, 2, 4, 8
//   schedule                 all eight
//   stage_split              so that stages take equally long
//   recompute                none, selective (with latent attention also its up-projections), full, and the plan's own
//   sharding                 zero-1 and the plan's own; zero-3 without a pipeline
//   overlap_gradient_reduce  the plan's; overlap_parameter_gather: both
// and what the plan itself says is always among them, so that a search never ends below the plan it began with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/spec/scenario.h"

namespace trillion {

struct Layout {
  std::size_t cluster = 0;  // index into search_clusters()
  std::int64_t nodes = 1;
  Plan plan;  // data_parallel and layers_per_stage left open unless the scenario's own plan is this one, or stage_split asks
  friend bool operator==(const Layout&, const Layout&) = default;
};

// The scenario on each of the clusters that the search may choose from; itself alone where none are named. Without search.clusters.
std::vector<Scenario> search_clusters(const Scenario& scenario);

// In a fixed order, none twice. Every one passes why_layout_impossible(); whether it fits in memory is not looked at.
// `clusters`: search_clusters(scenario). `threads`: 0 uses every core.
std::vector<Layout> layouts(const std::vector<Scenario>& clusters, unsigned threads = 0);
std::vector<Layout> layouts(const Scenario& scenario);

// The scenario with this layout.
Scenario with_layout(const Scenario& scenario, const Layout& layout);

}  // namespace trillion
