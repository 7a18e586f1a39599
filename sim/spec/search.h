// What `trillion plan` may change: every axis of a layout, fixed, listed or bounded, how many nodes of which clusters, and what counts
// as best.
//
//   search:
//     objective: usd                        # gpu_hours | usd | days
//     deadline: 60 days                     # of the whole run; or budget: 5000000 USD
//     nodes: [64, 128, 256]                 # a cost curve against the cluster's size; or gpus: [512, 1024, 2048]
//     clusters:                             # which hardware; each brings its own calibration
//       - {name: H800, cluster: ../../topologies/h800-2048.yaml, calibration: ../../calibration/profiles/h800.yaml}
//     tensor_parallel: [1, 2, 4, 8]         # a list
//     pipeline_parallel: {from: 4, to: 16}  # every number between
//     micro_batch_size: 1                   # one value
//     schedule: [1f1b, dualpipe]
//     recompute: [none, norm+activation]    # words of plan.recompute, or modules joined by '+'
//
// An axis that is not named takes its usual values (planner/search_space.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/spec/calibration.h"
#include "sim/spec/cluster.h"
#include "sim/spec/plan.h"

namespace trillion {

enum class Objective { gpu_hours, usd, days };
inline constexpr std::array<std::string_view, 3> kObjectiveNames = {"gpu_hours", "usd", "days"};

// How the layers are cut where the scenario's own plan does not say: so that stages take equally long, or hold equally many layers.
enum class StageSplit { time, layers };
inline constexpr std::array<std::string_view, 2> kStageSplitNames = {"time", "layers"};

template <class T>
using SearchAxis = std::optional<std::vector<T>>;  // empty: the usual values

// Hardware to choose from, with the software that was calibrated on it.
struct SearchedCluster {
  std::string name;
  std::string cluster_file, calibration_file;  // as messages name them
  Cluster cluster;
  Calibration calibration;
};

struct Search {
  Objective objective = Objective::gpu_hours;
  std::optional<Usd> budget;              // the run's rent may not be more
  std::optional<Seconds> deadline;        // the run may not take longer
  std::vector<SearchedCluster> clusters;  // empty: the scenario's own
  SearchAxis<std::int64_t> nodes, gpus;   // how many of the cluster; one of the two
  SearchAxis<std::int64_t> tensor_parallel, context_parallel, pipeline_parallel, virtual_pipeline_stages, expert_parallel,
      expert_tensor_parallel, data_parallel, micro_batch_size, sharding_group;
  SearchAxis<bool> sequence_parallel, overlap_gradient_reduce, overlap_parameter_gather;
  SearchAxis<TensorOverlap> tensor_parallel_overlap;
  SearchAxis<ContextParallelMethod> context_parallel_method;
  SearchAxis<ScheduleKind> schedule;
  SearchAxis<StageSplit> stage_split;
  SearchAxis<std::vector<RecomputeModule>> recompute;
  SearchAxis<std::vector<Offload>> offload;
  SearchAxis<Sharding> sharding;
  SearchAxis<double> bucket_parameters;
  SearchAxis<Precision> precision;
  SearchAxis<ExpertPlacement> expert_placement;
  SearchAxis<RankOrder> rank_order;

  std::vector<std::string> validate() const;
};

}  // namespace trillion
