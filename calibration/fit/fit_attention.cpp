#include <algorithm>

#include "calibration/fit/curve_model.h"

namespace trillion {
namespace {

struct Tile {
  std::int64_t queries, keys;
  double overhead;  // prior mean, seconds
};

// With and without a causal mask.
bool both_masks(const Points& points) {
  const auto causal = [](const Point& p) { return std::get<Attention>(p.query.shape).causal; };
  return std::any_of(points.begin(), points.end(), causal) && !std::all_of(points.begin(), points.end(), causal);
}

// ln sm_rate, ln tile_overhead, ln tail, ln launch, ln memory_rate, ln throttle, ln unmasked.
CurveModel<AttentionCurve> attention_model(const AttentionCurve& key, const Chip& chip, const Tile& tile, bool both) {
  CurveModel<AttentionCurve> model;
  // Forward kernels reach about 0.65 of the peak in their loop, backward ones 0.5 (Shah et al. 2024); half of the longest item is
  // the usual tail of a launch that hands out the longest first.
  const double fraction = key.direction == Direction::forward ? 0.65 : 0.5;
  model.priors = {{std::log(fraction * chip.peak_bf16.value() / static_cast<double>(chip.sms)), 0.4},
                  {std::log(tile.overhead), 1.0},
                  {std::log(0.5), 0.8},
                  {std::log(5e-6), 0.7},
                  {std::log(0.6 * chip.memory_bandwidth.value()), 0.5},
                  {std::log(0.05), key.load == Load::burst ? 0.7 : 0.0},
                  {0.0, both ? 0.4 : 0.0}};
  const bool burst = key.load == Load::burst;
  model.curve = [=](const std::vector<double>& theta) {
    AttentionCurve curve = key;
    curve.sm_rate = FlopsPerSecond{std::exp(theta[0])};
    curve.tile_overhead = Seconds{std::exp(theta[1])};
    curve.tail = std::exp(theta[2]);
    curve.launch = Seconds{std::exp(theta[3])};
    curve.wave_smoothing = 0.5;
    curve.tile_queries = tile.queries;
    curve.tile_keys = tile.keys;
    curve.memory_rate = BytesPerSecond{std::exp(theta[4])};
    // In a long step the clock is down already.
    curve.unmasked = both ? std::exp(theta[6]) : 1.0;
    curve.throttle = burst ? std::exp(theta[5]) : 0.0;
    return curve;
  };
  return model;
}

}  // namespace

double predict(const AttentionCurve& curve, const Point& point) {
  return evaluate(curve, std::get<Attention>(point.query.shape), point.sms).value();
}

AttentionCurve fit_attention(const AttentionCurve& key, const Points& points, const Chip& chip) {
  AttentionCurve best;
  bool first = true;
  // A later way is more complicated and must be better by a twentieth.
  const auto offer = [&](const CurveModel<AttentionCurve>& model) {
    const auto way = [&](const Points& train) { return fit_model(model, train); };
    const Residuals residuals = cross_validate(points, way);
    if (!first && score(residuals) > 0.95 * score(best.info.residuals)) return;
    best = way(points);
    best.info.residuals = residuals;
    first = false;
  };
  for (const bool apart : {false, true}) {
    if (apart && !both_masks(points)) continue;
    // Items of a backward pass end with their gradients of K and V, and add theirs to Q's: tens of microseconds where heads are wide.
    for (const Tile& tile : {Tile{128, 128, 1e-6}, Tile{64, 128, 1e-6}, Tile{64, 64, 10e-6}, Tile{64, 128, 10e-6}, Tile{128, 128, 10e-6}}) {
      if (key.direction == Direction::backward || tile.overhead <= 1e-6) offer(attention_model(key, chip, tile, apart));
    }
  }
  for (const auto& point : points) {
    const auto& attention = std::get<Attention>(point.query.shape);
    widen(best.queries, static_cast<double>(attention.queries));
    widen(best.keys, static_cast<double>(attention.keys));
  }
  return best;
}

}  // namespace trillion
