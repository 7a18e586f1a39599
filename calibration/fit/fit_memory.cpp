#include <algorithm>

#include "calibration/fit/curve_model.h"

namespace trillion {
namespace {

double moved_bytes(const Point& point) {
  const auto& kernel = std::get<MemoryBound>(point.query.shape);
  return (kernel.read + kernel.written).value();
}

// Whether some point ran on less than a fraction of the chip.
bool ran_on_fewer(const Points& points, const Chip& chip, double fraction) {
  return std::any_of(points.begin(), points.end(), [&](const Point& p) { return p.sms < fraction * static_cast<double>(chip.sms); });
}

// Whether the points say over how many rows they sum, and not all over the same.
bool vary_in_rows(const Points& points) {
  const auto rows = [](const Point& p) { return std::get<MemoryBound>(p.query.shape).rows; };
  const auto other = [&](const Point& p) { return rows(p) != rows(points.front()); };
  return std::all_of(points.begin(), points.end(), [&](const Point& p) { return rows(p) > 0; }) &&
         std::any_of(points.begin(), points.end(), other);
}

// ln launch, ln rate, ln sm_rate, ln sm_exponent, ln row_root.
CurveModel<MemoryCurve> memory_model(const MemoryCurve& key, const Points& points, const Chip& chip) {
  CurveModel<MemoryCurve> model;
  const double rate = 0.8 * chip.memory_bandwidth.value();
  // About 0.6 of the SMs saturate the memory when nothing says otherwise, and losing a few costs nothing.
  const double sm_rate = rate / (0.6 * static_cast<double>(chip.sms));
  const bool some = ran_on_fewer(points, chip, 1.0), few = ran_on_fewer(points, chip, 0.5);
  model.priors = {{std::log(2.5e-6), 1.0}, {std::log(rate), 0.7}, {std::log(sm_rate), few ? 0.7 : 0.0}, {std::log(0.8), some ? 0.6 : 0.0}};
  const bool by_rows = vary_in_rows(points);
  if (by_rows) model.priors.push_back({std::log(1e-7), 1.0});
  model.curve = [key, some, by_rows, chip_sms = chip.sms](const std::vector<double>& theta) {
    MemoryCurve curve = key;
    curve.launch = Seconds{std::exp(theta[0])};
    curve.rate = BytesPerSecond{std::exp(theta[1])};
    // The fewest SMs that carry the rate are a property of the rate.
    curve.sm_rate = BytesPerSecond{std::exp(theta[2])};
    curve.sm_exponent = some ? std::exp(theta[3]) : 0.0;
    curve.chip_sms = chip_sms;
    if (by_rows) curve.row_root = Seconds{std::exp(theta[4])};
    return curve;
  };
  // Below some megabytes a kernel is its launch; the line should be right where the time is.
  model.weight = [](const Point& point) {
    return moved_bytes(point) < kMiB.value() ? 0.2 : moved_bytes(point) < 16 * kMiB.value() ? 0.4 : 1.0;
  };
  return model;
}

constexpr double kBinWidth = 2;  // a knot per factor of two in bytes

// Knots: the line times the mean of what it leaves over, bin by bin, and never falling.
MemoryCurve with_knots(MemoryCurve curve, const Points& points) {
  Points sorted = points;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Point& a, const Point& b) { return moved_bytes(a) < moved_bytes(b); });
  for (std::size_t i = 0; i < sorted.size();) {
    const double first = moved_bytes(sorted[i]);
    double ln_bytes = 0, ln_ratio = 0, count = 0;
    for (; i < sorted.size() && moved_bytes(sorted[i]) < kBinWidth * first; ++i) {
      ln_bytes += std::log(moved_bytes(sorted[i]));
      ln_ratio += std::log(sorted[i].seconds / predict(curve, sorted[i]));
      count += 1;
    }
    const double bytes = std::exp(ln_bytes / count);
    const double line = curve.launch.value() + bytes / curve.rate.value();
    const double seconds = round_to_4_digits(line * std::exp(ln_ratio / count));
    if (!curve.bytes.empty() && bytes <= curve.bytes.back()) continue;
    curve.bytes.push_back(std::round(bytes));
    curve.seconds.push_back(curve.seconds.empty() ? seconds : std::max(seconds, curve.seconds.back()));
  }
  if (curve.bytes.size() < 2) curve.bytes.clear(), curve.seconds.clear();
  return curve;
}

constexpr std::size_t kEnoughForKnots = 6;
constexpr double kMiss = 0.02;  // a line that is further from a point above 16 MiB is not that kernel's

bool misses(const MemoryCurve& line, const Points& points) {
  return std::any_of(points.begin(), points.end(), [&](const Point& p) {
    return moved_bytes(p) >= 16 * kMiB.value() && std::abs(std::log(predict(line, p) / p.seconds)) > kMiss;
  });
}

// Too few points to judge a bent curve by: the line through them, and beyond the last one at its rate.
MemoryCurve through_points(const MemoryCurve& line, const Points& points) {
  MemoryCurve curve = with_knots(line, points);
  if (curve.bytes.empty()) return line;
  const double after_launch = std::max(curve.seconds.back() - curve.launch.value(), 0.5 * curve.seconds.back());
  curve.rate = BytesPerSecond{curve.bytes.back() / after_launch};
  return curve;
}

}  // namespace

double predict(const MemoryCurve& curve, const Point& point) {
  return evaluate(curve, std::get<MemoryBound>(point.query.shape), point.sms).value();
}

MemoryCurve fit_memory(const MemoryCurve& key, const Points& points, const Chip& chip) {
  const CurveModel<MemoryCurve> model = memory_model(key, points, chip);
  const auto line = [&](const Points& train) { return fit_model(model, train); };
  const auto knots = [&](const Points& train) {
    const MemoryCurve plain = line(train);
    MemoryCurve bent = with_knots(plain, train);
    return bent;
  };
  MemoryCurve curve = line(points);
  curve.info.residuals = cross_validate(points, line);
  const bool bytes_alone = curve.row_root.value() <= 0;  // knots over bytes can't tell rows apart
  if (bytes_alone && points.size() >= 2 && points.size() < kEnoughForKnots && misses(curve, points)) {
    const Residuals held_out = curve.info.residuals;
    curve = through_points(curve, points);
    curve.info.residuals = held_out;
  }
  if (bytes_alone && points.size() >= kEnoughForKnots) {
    const Residuals residuals = cross_validate(points, knots);
    if (score(residuals) < 0.95 * score(curve.info.residuals)) {
      curve = knots(points);
      curve.info.residuals = residuals;
    }
  }
  for (const auto& point : points) widen(curve.measured, moved_bytes(point));
  return curve;
}

}  // namespace trillion
