#include "sim/spec/memory_curve.h"

#include <algorithm>
#include <cmath>

#include "sim/base/error.h"
#include "sim/spec/knots.h"

namespace trillion {

Seconds evaluate(const MemoryCurve& curve, const MemoryBound& kernel, double sms) {
  CHECK(sms > 0);
  const double bytes = (kernel.read + kernel.written).value();
  if (bytes <= 0) return Seconds{};
  double fewer = 1;
  if (curve.chip_sms > 0) fewer = std::max(fewer, std::pow(static_cast<double>(curve.chip_sms) / sms, curve.sm_exponent));
  if (curve.sm_rate.value() > 0) fewer = std::max(fewer, curve.rate.value() / (sms * curve.sm_rate.value()));
  const double start = curve.launch.value() + curve.row_root.value() * std::sqrt(static_cast<double>(kernel.rows));
  double time = start + bytes / curve.rate.value();
  if (curve.bytes.size() >= 2) {
    if (bytes >= curve.bytes.back()) {
      time = curve.seconds.back() + (bytes - curve.bytes.back()) / curve.rate.value();
    } else {
      const Cell cell = find_cell(curve.bytes, bytes);
      const std::size_t i = cell.index;
      const double along =
          bytes <= curve.bytes.front() ? 0.0 : std::log(bytes / curve.bytes[i]) / std::log(curve.bytes[i + 1] / curve.bytes[i]);
      time = curve.seconds[i] * std::pow(curve.seconds[i + 1] / curve.seconds[i], along);
    }
  }
  const double launch = std::min(time, start);
  return curve.info.scale * Seconds{launch + (time - launch) * fewer};
}

}  // namespace trillion
