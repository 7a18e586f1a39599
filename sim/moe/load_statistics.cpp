#include "sim/moe/load_statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace trillion {
namespace {

double variance_of(const std::vector<double>& loads, double mean) {
  double sum = 0;
  for (const double x : loads) sum += (x - mean) * (x - mean);
  return sum / static_cast<double>(loads.size());
}

}  // namespace

double sum_of(const std::vector<double>& loads) { return std::accumulate(loads.begin(), loads.end(), 0.0); }

double max_over_mean(const std::vector<double>& loads) {
  const double sum = sum_of(loads);
  if (sum <= 0) return 1;
  return *std::max_element(loads.begin(), loads.end()) * static_cast<double>(loads.size()) / sum;
}

LoadStatistics statistics_of(const std::vector<double>& loads) {
  const double mean = loads.empty() ? 0 : sum_of(loads) / static_cast<double>(loads.size());
  if (mean <= 0) return {};
  return {max_over_mean(loads), std::sqrt(variance_of(loads, mean)) / mean};
}

std::vector<double> over_mean(const std::vector<double>& loads, const LoadNoise& noise) {
  std::vector<double> result(loads.size(), 1.0);
  const double mean = loads.empty() ? 0 : sum_of(loads) / static_cast<double>(loads.size());
  if (mean <= 0) return result;
  const double seen = variance_of(loads, mean);
  if (seen <= 0) return result;
  // The sample's own noise may exceed its expectation by chance; the tokens' noise remains in any case.
  const double real = std::max(seen - noise.sample, 0.0) + noise.tokens;
  for (std::size_t i = 0; i < loads.size(); ++i) result[i] = std::max(0.0, 1 + (loads[i] / mean - 1) * std::sqrt(real / seen));
  return result;
}

}  // namespace trillion
