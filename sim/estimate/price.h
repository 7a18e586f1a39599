// Seconds to GPU-hours, dollars and joules: the only home of money and energy.
#pragma once

#include <optional>

#include "sim/base/quantity.h"
#include "sim/spec/cluster.h"

namespace trillion {

double gpu_hours(Seconds time, std::int64_t gpus);
std::optional<Usd> rent(double gpu_hours, const Cluster& cluster);

// Every GPU at its power limit, its share of the node, and the facility's overhead. An upper bound: a waiting GPU draws less.
std::optional<Joules> energy(double gpu_hours, const Cluster& cluster);

}  // namespace trillion
