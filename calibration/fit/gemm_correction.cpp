#include "calibration/fit/gemm_correction.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>

#include "calibration/fit/curve_fits.h"

namespace trillion {
namespace {

const std::vector<double> kFillKnots = {0.03125, 0.125, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512};
const std::vector<double> kKnots = {128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};

std::vector<double> logs(const std::vector<double>& values) {
  std::vector<double> result;
  for (const double v : values) result.push_back(std::round(std::log(v) * 1e6) / 1e6);
  return result;
}

// Where a GEMM lies on the correction's plane: fill and k of the tile and split that the curve chooses.
struct Place {
  double fill = 1, k = 1;
};

Place place_of(const GemmCurve& curve, const Gemm& gemm, double sms) {
  const GemmChoice choice = choose(curve, gemm, sms);
  const GemmTile& tile = curve.tiles[choice.tile];
  const double tiles = std::ceil(static_cast<double>(gemm.m) / static_cast<double>(tile.m)) *
                       std::ceil(static_cast<double>(gemm.n) / static_cast<double>(tile.n));
  const double z = static_cast<double>(choice.split), share = tiles * z / sms;
  return {std::min(share, effective_waves(share, curve.wave_smoothing)), static_cast<double>(gemm.k) / z};
}

// Weights of the four knots around a place, by adding a unit to each knot in turn: the same interpolation as the curve's own.
Eigen::MatrixXd interpolation_rows(const std::vector<Place>& places, GemmCorrection table) {
  const auto knots = static_cast<Eigen::Index>(table.ln_fill.size() * table.ln_k.size());
  Eigen::MatrixXd rows(static_cast<Eigen::Index>(places.size()), knots);
  for (Eigen::Index j = 0; j < knots; ++j) {
    table.ln_factor.assign(static_cast<std::size_t>(knots), 0.0);
    table.ln_factor[static_cast<std::size_t>(j)] = 1.0;
    for (std::size_t i = 0; i < places.size(); ++i)
      rows(static_cast<Eigen::Index>(i), j) = std::log(table.factor(places[i].fill, places[i].k));
  }
  return rows;
}

// Neighbouring knots a and b and the least that the second may exceed the first by.
struct Bound {
  std::size_t a, b;
  double least;
};

// Time is waves(x) x tile time x factor. Below one wave it is constant in x, so the factor may not fall; above, the factor may
// fall no faster than waves rise; over k, no faster than the tile's own time rises at the cell's lower end.
std::vector<Bound> bounds_of(const GemmCurve& curve, const GemmCorrection& table) {
  // Of the tile whose loop is the smallest part of its time.
  double loop_over_once = std::numeric_limits<double>::infinity();
  for (const auto& tile : curve.tiles) {
    const TilePace pace = pace_of(curve, tile);
    loop_over_once = std::min(loop_over_once, pace.per_k / pace.once);
  }
  constexpr double kSafety = 0.95;
  const std::size_t ks = table.ln_k.size();
  std::vector<Bound> bounds;
  for (std::size_t i = 0; i < table.ln_fill.size(); ++i) {
    for (std::size_t j = 0; j < ks; ++j) {
      if (i + 1 < table.ln_fill.size()) {
        const double least = table.ln_fill[i] < 0 ? 0.0 : -kSafety * (table.ln_fill[i + 1] - table.ln_fill[i]);
        bounds.push_back({i * ks + j, (i + 1) * ks + j, least});
      }
      if (j + 1 < ks) {
        const double loop = loop_over_once * std::exp(table.ln_k[j]);
        const double slope = loop / (loop + 1);
        bounds.push_back({i * ks + j, i * ks + j + 1, -kSafety * slope * (table.ln_k[j + 1] - table.ln_k[j])});
      }
    }
  }
  return bounds;
}

// Moves both ends of a violated bound half way; what is left after many rounds is lifted, first knots first.
void project(const std::vector<Bound>& bounds, std::vector<double>& values) {
  for (int round = 0; round < 100; ++round) {
    for (const auto& bound : bounds) {
      const double missing = values[bound.a] + bound.least - values[bound.b];
      if (missing <= 0) continue;
      values[bound.a] -= missing / 2;
      values[bound.b] += missing / 2;
    }
  }
  // Four digits are more than the data hold; a bound is met exactly by rounding the lifted end up.
  for (double& value : values) value = std::round(value * 1e4) / 1e4;
  for (bool again = true; again;) {
    again = false;
    for (const auto& bound : bounds) {
      if (values[bound.b] >= values[bound.a] + bound.least) continue;
      values[bound.b] = std::ceil((values[bound.a] + bound.least) * 1e4) / 1e4;
      again = true;
    }
  }
}

struct Pull {
  double smooth, shrink;  // between neighbouring knots; of each to where it was
  double weight;          // of a point
  double farthest;        // of |ln ratio|
};

// The surface's move: least squares over the points with penalised differences between neighbouring knots, within the bounds.
// Alternating directions: the knots, with their differences pulled towards wanted ones; the wanted ones, as near as the bounds allow.
Eigen::VectorXd move_of(const Eigen::MatrixXd& rows, const Eigen::VectorXd& target, const std::vector<Bound>& bounds,
                        const std::vector<double>& start, const Pull& pull) {
  constexpr double kCoupling = 4;
  constexpr int kRounds = 150;
  const auto index = [](std::size_t knot) { return static_cast<Eigen::Index>(knot); };
  const Eigen::Index count = index(bounds.size());
  Eigen::MatrixXd normal = pull.weight * rows.transpose() * rows;
  normal.diagonal().array() += pull.shrink;
  Eigen::VectorXd least(count);
  for (std::size_t i = 0; i < bounds.size(); ++i) {  // every pair of neighbours
    const Eigen::Index a = index(bounds[i].a), b = index(bounds[i].b);
    normal(a, a) += pull.smooth + kCoupling, normal(b, b) += pull.smooth + kCoupling;
    normal(a, b) -= pull.smooth + kCoupling, normal(b, a) -= pull.smooth + kCoupling;
    least(index(i)) = bounds[i].least - (start[bounds[i].b] - start[bounds[i].a]);
  }
  const Eigen::LDLT<Eigen::MatrixXd> solver(normal);
  const Eigen::VectorXd pulled = pull.weight * rows.transpose() * target;
  Eigen::VectorXd move, wanted = Eigen::VectorXd::Zero(count), owed = wanted;
  for (int round = 0; round < kRounds; ++round) {
    Eigen::VectorXd right = pulled;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
      const double push = kCoupling * (wanted(index(i)) - owed(index(i)));
      right(index(bounds[i].b)) += push, right(index(bounds[i].a)) -= push;
    }
    move = solver.solve(right);
    for (std::size_t i = 0; i < bounds.size(); ++i) {
      const double difference = move(index(bounds[i].b)) - move(index(bounds[i].a));
      wanted(index(i)) = std::max(difference + owed(index(i)), least(index(i)));
      owed(index(i)) += difference - wanted(index(i));
    }
  }
  return move;
}

// The curve with its surface moved by what its times leave over at the points.
GemmCurve corrected(GemmCurve curve, const Points& points, const Pull& pull) {
  std::vector<Place> places;
  std::vector<double> left_over;
  for (const auto& point : points) {
    const auto* gemm = std::get_if<Gemm>(&point.query.shape);
    if (gemm == nullptr) return curve;
    places.push_back(place_of(curve, *gemm, point.sms));
    left_over.push_back(std::clamp(std::log(point.seconds / predict(curve, point)), -pull.farthest, pull.farthest));
  }
  GemmCorrection table = curve.correction;
  if (table.ln_factor.empty()) table = {logs(kFillKnots), logs(kKnots), std::vector<double>(kFillKnots.size() * kKnots.size(), 0.0)};
  const std::vector<Bound> bounds = bounds_of(curve, table);
  const Eigen::Map<const Eigen::VectorXd> target(left_over.data(), static_cast<Eigen::Index>(left_over.size()));
  const Eigen::VectorXd move = move_of(interpolation_rows(places, table), target, bounds, table.ln_factor, pull);
  for (Eigen::Index i = 0; i < move.size(); ++i) table.ln_factor[static_cast<std::size_t>(i)] += move(i);
  project(bounds, table.ln_factor);
  curve.correction = table;
  return curve;
}

}  // namespace

GemmCurve with_correction(GemmCurve curve, const Points& points) {
  // A point far off is another kernel's, not the surface's.
  return corrected(std::move(curve), points, {1.5, 0.1, 1, 0.2});
}

GemmCurve with_level_nearby(GemmCurve curve, const Points& own) {
  // The same reach as the surface above: a factor of sixteen in fill or k leaves a third of it. Again, since the fastest tile may
  // become another one.
  constexpr int kRounds = 4;
  for (int round = 0; round < kRounds; ++round) curve = corrected(std::move(curve), own, {1.5, 0.1, 100, 10});
  return curve;
}

}  // namespace trillion
