// What `trillion plan` may change: every axis of a layout, fixed, listed or bounded, and what counts as best.
//
//   search:
//     objective: gpu_hours                  # gpu_hours | usd | days
//     tensor_parallel: [1, 2, 4, 8]         # a list
//     pipeline_parallel: {from: 4, to: 16}  # every number between
//     micro_batch_size: 1                   # one value
//     schedule: [1f1b, dualpipe]
//
// An axis that is not named takes its usual values (planner/search_space.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/spec/plan.h"

namespace trillion {

enum class Objective { gpu_hours, usd, days };
inline constexpr std::array<std::string_view, 3> kObjectiveNames = {"gpu_hours", "usd", "days"};

template <class T>
using SearchAxis = std::optional<std::vector<T>>;  // empty: the usual values

struct Search {
  Objective objective = Objective::gpu_hours;
  SearchAxis<std::int64_t> nodes;  // of the cluster
  SearchAxis<std::int64_t> tensor_parallel, context_parallel, pipeline_parallel, virtual_pipeline_stages, expert_parallel,
      expert_tensor_parallel, micro_batch_size;
  SearchAxis<bool> sequence_parallel;
  SearchAxis<ScheduleKind> schedule;
  SearchAxis<std::vector<RecomputeModule>> recompute;
  SearchAxis<Sharding> sharding;
  SearchAxis<Precision> precision;
  SearchAxis<ExpertPlacement> expert_placement;

  std::vector<std::string> validate() const;
};

}  // namespace trillion
