#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <limits>

#include "calibration/fit/curve_model.h"
#include "sim/base/error.h"

namespace trillion {
namespace {

// A family of tiles whose efficiencies are free but for the first's.
struct TileSet {
  struct Group {
    std::vector<GemmTile> tiles;
    double efficiency;  // prior mean
  };
  std::vector<Group> groups;
  std::int64_t max_split = 1;
};

TileSet single_tile() { return {{{{{128, 128, 1.0}}, 1.0}}, 1}; }

// What cuBLAS and CUTLASS offer on Hopper; a smaller tile reuses its operands less.
TileSet library_tiles(std::int64_t max_split) {
  return {{{{{128, 256, 1}, {256, 128, 1}}, 1.0},
           {{{128, 192, 1}, {192, 128, 1}}, 0.97},
           {{{128, 128, 1}}, 0.92},
           {{{64, 256, 1}, {256, 64, 1}, {64, 128, 1}, {128, 64, 1}}, 0.75},
           {{{64, 64, 1}}, 0.5}},
          max_split};
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

double peak_of(const Chip& chip, DType dtype) {
  const bool fp8 = dtype == DType::fp8 || dtype == DType::fp8_block;
  if (fp8 && chip.peak_fp8.value() > 0) return chip.peak_fp8.value();
  return dtype == DType::fp32 ? chip.peak_bf16.value() / 2 : chip.peak_bf16.value();
}

// ln sm_rate, ln tile_overhead, logit wave_smoothing, ln launch, ln memory_rate, ln efficiency of each further tile group.
CurveModel<GemmCurve> gemm_model(const GemmCurve& key, const TileSet& set, const Chip& chip) {
  CurveModel<GemmCurve> model;
  // Three quarters of the peak in the K loop; 1.5 us of prologue and epilogue; waves half blurred by uneven progress of the SMs;
  // 2 us to start; operands at 80 % of the memory's rate.
  model.priors = {{std::log(0.75 * peak_of(chip, key.dtype) / static_cast<double>(chip.sms)), 0.4},
                  {std::log(1.5e-6), 0.8},
                  {0.0, 1.0},
                  {std::log(2e-6), 0.5},
                  {std::log(0.8 * chip.memory_bandwidth.value()), 0.2}};
  for (std::size_t g = 1; g < set.groups.size(); ++g) model.priors.push_back({std::log(set.groups[g].efficiency), 0.15});
  model.curve = [key, set](const std::vector<double>& theta) {
    GemmCurve curve = key;
    curve.sm_rate = FlopsPerSecond{std::exp(theta[0])};
    curve.tile_overhead = Seconds{std::exp(theta[1])};
    curve.wave_smoothing = logistic(theta[2]);
    curve.launch = Seconds{std::exp(theta[3])};
    curve.memory_rate = BytesPerSecond{std::exp(theta[4])};
    curve.max_split = set.max_split;
    curve.tiles.clear();
    for (std::size_t g = 0; g < set.groups.size(); ++g) {
      for (GemmTile tile : set.groups[g].tiles) {
        tile.efficiency = g == 0 ? 1.0 : std::exp(theta[4 + g]);
        curve.tiles.push_back(tile);
      }
    }
    return curve;
  };
  return model;
}

// Where a plain GEMM lies on the correction's plane: waves and k of the tile and split that the curve chooses.
struct Place {
  double ln_waves = 0, ln_k = 0;
};

Place place_of(const GemmCurve& curve, const Gemm& gemm, double sms) {
  double best = std::numeric_limits<double>::infinity();
  Place place;
  GemmCurve one = curve;
  for (const auto& tile : curve.tiles) {
    one.tiles = {tile};
    const double tiles = std::ceil(static_cast<double>(gemm.m) / static_cast<double>(tile.m)) *
                         std::ceil(static_cast<double>(gemm.n) / static_cast<double>(tile.n));
    for (one.max_split = 1; one.max_split <= curve.max_split; one.max_split *= 2) {
      const double time = evaluate(one, gemm, sms).value();
      if (time >= best) continue;
      best = time;
      const double z = static_cast<double>(one.max_split);
      place = {std::log(effective_waves(tiles * z / sms, curve.wave_smoothing)), std::log(static_cast<double>(gemm.k) / z)};
    }
  }
  return place;
}

const std::vector<double> kWaveKnots = {1, 2, 4, 8, 16, 64, 256};
const std::vector<double> kKnots = {256, 512, 1024, 2048, 4096, 8192, 16384};

std::vector<double> logs(const std::vector<double>& values) {
  std::vector<double> result;
  for (const double v : values) result.push_back(std::log(v));
  return result;
}

// Weights of the four knots around a place, by adding a unit to each knot in turn: the same interpolation as the curve's own.
Eigen::MatrixXd interpolation_rows(const std::vector<Place>& places, GemmCorrection table) {
  const auto knots = static_cast<Eigen::Index>(table.ln_waves.size() * table.ln_k.size());
  Eigen::MatrixXd rows(static_cast<Eigen::Index>(places.size()), knots);
  for (Eigen::Index j = 0; j < knots; ++j) {
    table.ln_factor.assign(static_cast<std::size_t>(knots), 0.0);
    table.ln_factor[static_cast<std::size_t>(j)] = 1.0;
    for (std::size_t i = 0; i < places.size(); ++i) {
      rows(static_cast<Eigen::Index>(i), j) = std::log(table.factor(std::exp(places[i].ln_waves), std::exp(places[i].ln_k)));
    }
  }
  return rows;
}

// Differences between neighbouring knots, which the regularisation keeps small.
Eigen::MatrixXd roughness_rows(std::size_t waves, std::size_t ks) {
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  for (std::size_t i = 0; i < waves; ++i) {
    for (std::size_t j = 0; j < ks; ++j) {
      if (i + 1 < waves) pairs.emplace_back(i * ks + j, (i + 1) * ks + j);
      if (j + 1 < ks) pairs.emplace_back(i * ks + j, i * ks + j + 1);
    }
  }
  Eigen::MatrixXd rows = Eigen::MatrixXd::Zero(static_cast<Eigen::Index>(pairs.size()), static_cast<Eigen::Index>(waves * ks));
  for (std::size_t r = 0; r < pairs.size(); ++r) {
    rows(static_cast<Eigen::Index>(r), static_cast<Eigen::Index>(pairs[r].first)) = -1;
    rows(static_cast<Eigen::Index>(r), static_cast<Eigen::Index>(pairs[r].second)) = 1;
  }
  return rows;
}

// The time stays monotone while ln factor falls no faster than ln waves rises, and no faster over ln k than the tile's own time
// rises at the cell's lower end.
bool is_monotone(const GemmCurve& curve) {
  const auto& table = curve.correction;
  const std::size_t ks = table.ln_k.size();
  double largest = 0;
  for (const auto& tile : curve.tiles) largest = std::max(largest, static_cast<double>(tile.m * tile.n) / tile.efficiency);
  double smallest = largest;
  for (const auto& tile : curve.tiles) smallest = std::min(smallest, static_cast<double>(tile.m * tile.n) / tile.efficiency);
  for (std::size_t i = 0; i < table.ln_waves.size(); ++i) {
    for (std::size_t j = 0; j < ks; ++j) {
      const double here = table.ln_factor[i * ks + j];
      if (i + 1 < table.ln_waves.size() && table.ln_factor[(i + 1) * ks + j] - here < -0.95 * (table.ln_waves[i + 1] - table.ln_waves[i])) {
        return false;
      }
      if (j + 1 == ks) continue;
      const double loop = 2 * smallest * std::exp(table.ln_k[j]) / curve.sm_rate.value();
      const double slope = loop / (loop + curve.tile_overhead.value());
      if (table.ln_factor[i * ks + j + 1] - here < -0.95 * slope * (table.ln_k[j + 1] - table.ln_k[j])) return false;
    }
  }
  return true;
}

GemmCurve with_correction(GemmCurve curve, const Points& points) {
  std::vector<Place> places;
  std::vector<double> left_over;
  for (const auto& point : points) {
    const auto* gemm = std::get_if<Gemm>(&point.query.shape);
    if (gemm == nullptr) return curve;
    places.push_back(place_of(curve, *gemm, point.sms));
    // A point far off is another kernel's, not the surface's.
    left_over.push_back(std::clamp(std::log(point.seconds / predict(curve, point)), -0.25, 0.25));
  }
  GemmCorrection table{logs(kWaveKnots), logs(kKnots), {}};
  const Eigen::MatrixXd rows = interpolation_rows(places, table);
  const Eigen::MatrixXd rough = roughness_rows(kWaveKnots.size(), kKnots.size());
  constexpr double kSmooth = 2.0, kShrink = 0.3;
  Eigen::MatrixXd normal = rows.transpose() * rows + kSmooth * rough.transpose() * rough;
  normal.diagonal().array() += kShrink;
  const Eigen::Map<const Eigen::VectorXd> target(left_over.data(), static_cast<Eigen::Index>(left_over.size()));
  const Eigen::VectorXd solution = normal.ldlt().solve(rows.transpose() * target);
  table.ln_factor.assign(solution.data(), solution.data() + solution.size());
  curve.correction = table;
  for (int attempt = 0; attempt < 30 && !is_monotone(curve); ++attempt) {
    for (double& value : curve.correction.ln_factor) value *= 0.8;
  }
  // Four digits are more than the data hold, and a person reads them.
  for (double& value : curve.correction.ln_factor) value = std::round(value * 1e4) / 1e4;
  if (!is_monotone(curve)) curve.correction = {};
  return curve;
}

void fill_ranges(GemmCurve& curve, const Points& points) {
  for (const auto& point : points) {
    if (const auto* gemm = std::get_if<Gemm>(&point.query.shape)) {
      widen(curve.m, static_cast<double>(gemm->m));
      widen(curve.n, static_cast<double>(gemm->n));
      widen(curve.k, static_cast<double>(gemm->k));
    } else if (const auto* grouped = std::get_if<GroupedGemm>(&point.query.shape)) {
      const bool weight_gradient = grouped->layout == GemmLayout::weight_gradient;
      for (const auto tokens : grouped->m) widen(weight_gradient ? curve.k : curve.m, static_cast<double>(tokens));
      widen(curve.n, static_cast<double>(grouped->n));
      widen(weight_gradient ? curve.m : curve.k, static_cast<double>(grouped->k));
    }
  }
}

}  // namespace

double predict(const GemmCurve& curve, const Point& point) {
  if (const auto* gemm = std::get_if<Gemm>(&point.query.shape)) return evaluate(curve, *gemm, point.sms).value();
  return evaluate(curve, std::get<GroupedGemm>(point.query.shape), point.sms).value();
}

GemmCurve fit_gemm(const GemmCurve& key, const Points& points, const Chip& chip) {
  using Fit = std::function<GemmCurve(const Points&)>;
  std::vector<Fit> ways;
  for (const TileSet& set : {single_tile(), library_tiles(1), library_tiles(8)}) {
    const CurveModel<GemmCurve> model = gemm_model(key, set, chip);
    ways.push_back([model](const Points& train) { return fit_model(model, train); });
  }
  // The smooth correction has 49 knots: it needs a cloud of points.
  if (points.size() >= 40) {
    for (std::size_t i = 1; i < 3; ++i) {
      ways.push_back([base = ways[i]](const Points& train) { return with_correction(base(train), train); });
    }
  }
  std::size_t best = 0;
  Residuals best_residuals;
  for (std::size_t i = 0; i < ways.size(); ++i) {
    const Residuals residuals = cross_validate(points, ways[i]);
    // A more complicated way must be better by a twentieth.
    if (i > 0 && score(residuals) > 0.95 * score(best_residuals)) continue;
    best = i, best_residuals = residuals;
  }
  GemmCurve curve = ways[best](points);
  curve.info.residuals = best_residuals;
  fill_ranges(curve, points);
  return curve;
}

}  // namespace trillion
