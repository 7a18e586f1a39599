#include "sim/moe/capacity.h"

#include <algorithm>
#include <cmath>

#include "sim/base/error.h"

namespace trillion {

std::optional<ExpertCapacity> expert_capacity(const Routing& routing, const GateShape& gate, std::int64_t tokens_per_rank) {
  if (!routing.capacity_factor) return std::nullopt;
  const double even = static_cast<double>(tokens_per_rank * gate.top_k) / static_cast<double>(gate.experts);
  return ExpertCapacity{std::ceil(*routing.capacity_factor * even), routing.pad_to_capacity};
}

CapacityResult drop_over_capacity(const TokenChoices& choices, std::int64_t experts, const ExpertCapacity& capacity, const Random& random) {
  CHECK(experts > 0 && capacity.tokens > 0);
  CapacityResult result{choices, 0};
  std::vector<std::vector<std::size_t>> copies_of(static_cast<std::size_t>(experts));
  for (std::size_t i = 0; i < choices.expert.size(); ++i) copies_of[choices.expert[i]].push_back(i);
  const std::size_t most = static_cast<std::size_t>(capacity.tokens);
  double dropped = 0;
  for (std::vector<std::size_t>& copies : copies_of) {
    if (copies.size() <= most) continue;
    const auto first_dropped = copies.begin() + static_cast<std::ptrdiff_t>(most);
    std::nth_element(copies.begin(), first_dropped, copies.end(),
                     [&](std::size_t a, std::size_t b) { return random.bits(a) < random.bits(b); });
    std::for_each(first_dropped, copies.end(), [&](std::size_t i) { result.kept.expert[i] = CapacityResult::kDropped; });
    dropped += static_cast<double>(copies.size() - most);
  }
  if (!choices.expert.empty()) result.dropped_share = dropped / static_cast<double>(choices.expert.size());
  return result;
}

KeptLoad kept_load(double mean, double variance, double capacity) {
  if (variance <= 0) return {std::min(mean, capacity), 0, mean <= capacity ? 1.0 : 0.0};
  const double s = std::sqrt(variance), z = (capacity - mean) / s;
  if (z > 8) return {mean, variance, 1};
  const double density = std::exp(-0.5 * z * z) / std::sqrt(2 * 3.14159265358979323846);
  const double below = 0.5 * std::erfc(-z / std::sqrt(2.0));
  const double kept = mean * below - s * density + capacity * (1 - below);
  const double square = (mean * mean + variance) * below - s * density * (mean + capacity) + capacity * capacity * (1 - below);
  return {std::clamp(kept, 0.0, capacity), std::max(0.0, square - kept * kept), below};
}

}  // namespace trillion
