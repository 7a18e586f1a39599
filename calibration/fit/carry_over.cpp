#include "calibration/fit/carry_over.h"

#include <algorithm>
#include <cmath>

#include "calibration/fit/least_squares.h"

namespace trillion {
namespace {

constexpr double kLarge = 64.0 * 1024 * 1024;

double bytes_of(const MemoryBound& kernel) { return (kernel.read + kernel.written).value(); }

// Median rate of large copies in a burst; 0: none.
double copy_rate(const std::vector<RawFile>& files, bool borrowed) {
  std::vector<double> rates;
  for (const RawFile& file : files) {
    if (file.borrowed != borrowed) continue;
    for (const RawRow& row : file.rows) {
      const auto* kernel = std::get_if<MemoryBound>(&row.query.shape);
      const bool counts = kernel != nullptr && kernel->kernel == MemoryKernel::copy && row.query.sms == 0 && row.query.load == Load::burst;
      if (counts && bytes_of(*kernel) >= kLarge) rates.push_back(bytes_of(*kernel) / row.time.value());
    }
  }
  return quantile(rates, 0.5);
}

}  // namespace

void carry_over(std::vector<RawFile>& files) {
  const double own = copy_rate(files, false), lent = copy_rate(files, true);
  if (own <= 0 || lent <= 0) return;
  for (RawFile& file : files) {
    if (!file.borrowed) continue;
    for (RawRow& row : file.rows) {
      const auto* kernel = std::get_if<MemoryBound>(&row.query.shape);
      if (kernel == nullptr) continue;
      const double time = row.time.value(), memory = std::min(time, bytes_of(*kernel) / lent);
      const double instructions = std::pow(time, 4) - std::pow(memory, 4);
      row.time = Seconds{std::pow(std::pow(memory * lent / own, 4) + instructions, 0.25)};
    }
  }
}

}  // namespace trillion
