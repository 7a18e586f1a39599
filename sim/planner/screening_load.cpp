#include "sim/planner/screening_load.h"

#include <algorithm>

namespace trillion {

LayerRouting least_load(const Scenario& s) {
  LayerRouting even;
  const Routing& routing = s.training.routing;
  if (!s.model.moe || !routing.capacity_factor) return even;
  const double chosen = static_cast<double>(s.model.moe->num_experts_per_tok) / static_cast<double>(s.model.moe->n_routed_experts);
  even.served = routing.pad_to_capacity ? *routing.capacity_factor : std::min(1.0, *routing.capacity_factor * chosen);
  return even;
}

ExpertLoad flat(const ExpertLoad& load) {
  ExpertLoad mean;
  mean.balance = load.balance;
  mean.mean = load.mean;
  mean.seed = load.seed;
  if (!load.samples.empty()) mean.samples = {load.mean};
  return mean;
}

LayerRouting least_of(const ExpertLoad& load) {
  LayerRouting least = load.mean;
  least.rank_load.clear();
  least.scale_out.clear();
  for (const LayerRouting& r : load.samples) {
    least.rank_load_max_over_mean = std::min(least.rank_load_max_over_mean, r.rank_load_max_over_mean);
    least.scale_out_max_over_mean = std::min(least.scale_out_max_over_mean, r.scale_out_max_over_mean);
  }
  return least;
}

}  // namespace trillion
