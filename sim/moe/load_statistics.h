// How uneven loads are: of experts, of ranks, of NICs.
#pragma once

#include <vector>

namespace trillion {

double sum_of(const std::vector<double>& loads);

// Largest over mean of non-negative loads; 1 where there are none.
double max_over_mean(const std::vector<double>& loads);

struct LoadStatistics {
  double max_over_mean = 1;             // Wang et al.'s MaxVio is this less one
  double coefficient_of_variation = 0;  // standard deviation over mean
};
LoadStatistics statistics_of(const std::vector<double>& loads);

// Loads that were summed from a sample's means: the sample adds noise of its own and averages the tokens' noise away. Both are known
// (multinomial), so the deviations from the mean are rescaled: variance seen - variance of the sample + variance of the tokens.
struct LoadNoise {
  double sample = 0, tokens = 0;  // variances, mean over the loads
};
// As ratios to their mean. Without noise just that; all 1 where there is no load.
std::vector<double> over_mean(const std::vector<double>& loads, const LoadNoise& noise = {});

}  // namespace trillion
