#include "sim/estimate/price.h"

namespace trillion {

double gpu_hours(Seconds time, std::int64_t gpus) { return time / kHour * static_cast<double>(gpus); }

std::optional<Usd> rent(double hours, const Cluster& cluster) {
  if (!cluster.price) return std::nullopt;
  return cluster.price->per_gpu * (hours * kHour);
}

std::optional<Joules> energy(double hours, const Cluster& cluster) {
  if (!cluster.power) return std::nullopt;
  const Watts per_gpu = cluster.gpu.power_limit + cluster.power->node_other / static_cast<double>(cluster.gpus_per_node);
  return per_gpu * cluster.power->pue * (hours * kHour);
}

}  // namespace trillion
