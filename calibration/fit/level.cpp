#include "calibration/fit/level.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "calibration/fit/curve_model.h"

namespace trillion {

void slow_down(GemmCurve& c, double factor) {
  for (BytesPerSecond* rate : {&c.memory_rate, &c.sm_load, &c.chip_load, &c.sm_store}) *rate *= 1 / factor;
  c.sm_rate *= 1 / factor;
  for (Seconds* time : {&c.launch, &c.tile_overhead, &c.split_cost}) *time *= factor;
}

void slow_down(AttentionCurve& c, double factor) {
  c.sm_rate *= 1 / factor;
  c.memory_rate *= 1 / factor;
  for (Seconds* time : {&c.launch, &c.tile_overhead}) *time *= factor;
}

void slow_down(MemoryCurve& c, double factor) {
  c.launch *= factor;
  c.row_root *= factor;
  c.rate *= 1 / factor;
  c.sm_rate *= 1 / factor;
  for (double& seconds : c.seconds) seconds = round_to_4_digits(seconds * factor);
}

void slow_down(CollectiveCurve& c, double factor) {
  for (Seconds* time : {&c.base, &c.nvlink_step, &c.nic_step, &c.pipeline}) *time *= factor;
  for (BytesPerSecond* rate : {&c.nvlink, &c.nic, &c.local}) *rate *= 1 / factor;
  for (CollectiveKnots& knots : c.knots) {
    for (double& seconds : knots.seconds) seconds = round_to_4_digits(seconds * factor);
  }
}

void slow_down(ExpertCurve& c, double factor) {
  c.latency *= factor;
  for (BytesPerSecond* rate : {&c.nic, &c.nvlink}) *rate *= 1 / factor;
}

double mean_of(const std::vector<double>& values) {
  return values.empty() ? 0.0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

Residuals level_residuals(const std::vector<double>& log_ratios, const Residuals& donor) {
  if (log_ratios.size() < 3) return {std::max(donor.median, 0.03), std::max(donor.p90, 0.10), 0};
  const double count = static_cast<double>(log_ratios.size()), sum = mean_of(log_ratios) * count;
  std::vector<double> left_out;
  for (const double ratio : log_ratios) left_out.push_back((sum - ratio) / (count - 1) - ratio);
  Residuals residuals = residuals_of(left_out);
  residuals.p90 = std::max({residuals.p90, 0.5 * donor.p90, 0.02});
  return residuals;
}

}  // namespace trillion
