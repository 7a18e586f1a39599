#include "sim/moe/auxiliary_loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace trillion {
namespace {

constexpr int kRounds = 60, kScaleRounds = 30;
constexpr double kSettled = 1e-6;

// Loads over the mean of experts with these affinities. The scale c at which the chances 1 - exp(-c w) add up to top_k: their sum rises
// with c and is concave, so Newton from below converges; `scale` is where the search begins and ends.
std::vector<double> loads_of(const double* affinity, std::int64_t experts, std::int64_t top_k, double& scale) {
  std::vector<double> weight(static_cast<std::size_t>(experts)), chance(weight.size());
  std::transform(affinity, affinity + experts, weight.begin(), [](double x) { return std::exp(x); });
  for (int round = 0; round < kScaleRounds; ++round) {
    double chances = 0, slope = 0;
    for (std::size_t e = 0; e < weight.size(); ++e) {
      const double missed = std::exp(-scale * weight[e]);
      chance[e] = 1 - missed;
      chances += chance[e];
      slope += weight[e] * missed;
    }
    const double step = (static_cast<double>(top_k) - chances) / slope;
    if (std::abs(step) < kSettled * scale) break;
    scale = std::max(0.1 * scale, scale + step);
  }
  const double per_chance = static_cast<double>(experts) / static_cast<double>(top_k);
  for (double& c : chance) c *= per_chance;
  return chance;
}

double first_scale(std::int64_t experts, std::int64_t top_k) { return static_cast<double>(top_k) / static_cast<double>(experts) / 4; }

// One round towards x = x0 - g (f - 1): Newton in each affinity alone, with d f / d x = f at most, which makes the step safe.
double towards(double x, double rest, double pull, double load) { return x + (rest - pull * (load - 1) - x) / (1 + pull * load); }

}  // namespace

Affinities after_sequence_loss(const Affinities& learnt, std::int64_t top_k, double pull) {
  Affinities now = learnt;
  for (std::int64_t d = 0; d < learnt.domains; ++d) {
    double scale = first_scale(learnt.experts, top_k), moved = 1;
    for (int round = 0; round < kRounds && moved > kSettled; ++round) {
      const std::vector<double> loads = loads_of(&now.at(d, 0), learnt.experts, top_k, scale);
      moved = 0;
      for (std::int64_t e = 0; e < learnt.experts; ++e) {
        const double next = towards(now.at(d, e), learnt.at(d, e), pull, loads[static_cast<std::size_t>(e)]);
        moved = std::max(moved, std::abs(next - now.at(d, e)));
        now.at(d, e) = next;
      }
    }
  }
  return now;
}

Affinities after_batch_loss(const Affinities& learnt, std::int64_t top_k, double pull) {
  Affinities now = learnt;
  std::vector<double> shift(static_cast<std::size_t>(learnt.experts), 0.0);  // common to all domains
  std::vector<double> scale(static_cast<std::size_t>(learnt.domains), first_scale(learnt.experts, top_k));
  double moved = 1;
  for (int round = 0; round < kRounds && moved > kSettled; ++round) {
    std::vector<double> loads(shift.size(), 0.0);
    for (std::int64_t d = 0; d < learnt.domains; ++d) {
      const std::vector<double> mine = loads_of(&now.at(d, 0), learnt.experts, top_k, scale[static_cast<std::size_t>(d)]);
      for (std::size_t e = 0; e < loads.size(); ++e) loads[e] += mine[e] / static_cast<double>(learnt.domains);
    }
    moved = 0;
    for (std::size_t e = 0; e < shift.size(); ++e) {
      const double next = towards(shift[e], 0, pull, loads[e]);
      moved = std::max(moved, std::abs(next - shift[e]));
      shift[e] = next;
      const auto expert = static_cast<std::int64_t>(e);
      for (std::int64_t d = 0; d < learnt.domains; ++d) now.at(d, expert) = learnt.at(d, expert) + shift[e];
    }
  }
  return now;
}

}  // namespace trillion
