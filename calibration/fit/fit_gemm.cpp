#include <algorithm>
#include <iterator>
#include <optional>

#include "calibration/fit/curve_model.h"
#include "calibration/fit/gemm_correction.h"
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
  bool loads = false;  // how fast a tile is follows from what it loads and stores
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

// The tiles that cuBLASLt 13.1's heuristic names for 30 000 random products on Hopper, the most frequent 0.93 of them: so many
// that a choice fits m and n and the waves are nearly whole. (calibration/probes/gemm.cu writes each row's kernel: "chosen".)
TileSet hopper_tiles() {
  constexpr std::int64_t kSides[][2] = {{16, 64},   {32, 64},   {64, 64},   {64, 80},   {64, 96},   {64, 128},  {64, 160},  {64, 192},
                                        {64, 320},  {80, 128},  {96, 128},  {96, 192},  {112, 128}, {128, 128}, {128, 144}, {128, 160},
                                        {128, 176}, {128, 192}, {128, 224}, {128, 256}, {128, 320}, {160, 256}, {192, 192}};
  TileSet set{{{{}, 1.0}}, 32, true};
  for (const auto& [a, b] : kSides) {
    set.groups[0].tiles.push_back({a, b, 1});
    if (a != b) set.groups[0].tiles.push_back({b, a, 1});
  }
  return set;
}

// Names as above, of 1400 FP8 gradients: accumulation is promoted to FP32 every few steps of k, which takes registers for a second sum,
// and large tiles are not among them. The most frequent 0.93.
constexpr GemmTile kPromotedTiles[] = {{160, 128}, {128, 160}, {128, 144}, {144, 128}, {128, 128}, {128, 112}, {128, 96}, {96, 128},
                                       {128, 80},  {80, 128},  {128, 64},  {64, 128},  {192, 64},  {64, 192},  {160, 64}, {64, 160},
                                       {64, 144},  {64, 112},  {112, 64},  {96, 64},   {64, 96},   {64, 80},   {80, 64},  {64, 64},
                                       {64, 48},   {48, 64},   {64, 32},   {32, 64},   {64, 24},   {24, 64}};

// The same of 820 FP8 forward products: long sides lie along n.
constexpr GemmTile kFastTiles[] = {
    {192, 192}, {128, 320}, {128, 256}, {256, 128}, {64, 64},   {128, 128}, {128, 112}, {128, 144}, {128, 192}, {192, 128}, {128, 96},
    {96, 128},  {32, 64},   {64, 128},  {128, 64},  {128, 176}, {64, 96},   {96, 64},   {256, 160}, {160, 256}, {128, 168}, {128, 80},
    {80, 128},  {160, 128}, {192, 208}, {208, 192}, {48, 64},   {64, 48},   {64, 144},  {64, 24},   {24, 64},   {64, 80},   {64, 160},
    {96, 192},  {192, 96},  {64, 224},  {64, 32},   {64, 320},  {160, 64},  {192, 64},  {128, 224}, {128, 160}, {64, 192},  {64, 112}};

TileSet tensor_scaled_tiles(GemmLayout layout) {
  TileSet set{{{{}, 1.0}}, 32, true};
  if (layout == GemmLayout::forward) {
    set.groups[0].tiles.assign(std::begin(kFastTiles), std::end(kFastTiles));
  } else {
    set.groups[0].tiles.assign(std::begin(kPromotedTiles), std::end(kPromotedTiles));
  }
  return set;
}

// cuBLASLt 13.1 scales blocks of FP8 operands in one tile where one operand's blocks are 128 x 128, in six where both are 1 x 128
// (weight gradients): all that it chose for 2000 products.
TileSet block_scaled_tiles(bool vectors) {
  TileSet set{{{{{128, 128, 1}}, 1.0}}, 32, true};
  if (vectors) set.groups.push_back({{{64, 192, 1}, {192, 64, 1}, {64, 128, 1}, {128, 64, 1}, {64, 64, 1}}, 0.75});
  return set;
}

std::vector<TileSet> tile_sets(DType dtype, GemmLayout layout) {
  std::vector<TileSet> sets = {single_tile(), library_tiles(8), dtype == DType::fp8 ? tensor_scaled_tiles(layout) : hopper_tiles()};
  if (dtype == DType::fp8_block) sets.push_back(block_scaled_tiles(layout == GemmLayout::weight_gradient));
  return sets;
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

double peak_of(const Chip& chip, DType dtype) {
  const bool fp8 = dtype == DType::fp8 || dtype == DType::fp8_block;
  if (fp8 && chip.peak_fp8.value() > 0) return chip.peak_fp8.value();
  return dtype == DType::fp32 ? chip.peak_bf16.value() / 2 : chip.peak_bf16.value();
}

// ln sm_rate, ln tile_overhead, logit wave_smoothing, ln launch, ln memory_rate, ln split_cost, ln sm_load, ln chip_load, ln sm_store,
// ln misaligned, ln off_sector, ln efficiency of each further tile group.
CurveModel<GemmCurve> gemm_model(const GemmCurve& key, const TileSet& set, const Chip& chip) {
  CurveModel<GemmCurve> model;
  // Three quarters of the peak in the K loop; 1.5 us of prologue and epilogue; waves half blurred by uneven progress of the SMs;
  // 2 us to start; operands at 80 % of the memory's rate; parts of a split k added up in 3 us. 128 bytes a cycle and SM from the L2
  // cache, 64 when all ask; results at a quarter of that, since a tile stores only when it is done.
  const double sm_load = 128 * 1.6e9, all = static_cast<double>(chip.sms), free = set.loads ? 1.0 : 0.0;
  model.priors = {{std::log(0.75 * peak_of(chip, key.dtype) / static_cast<double>(chip.sms)), 0.4},
                  {std::log(1.5e-6), 0.8},
                  {0.0, 1.0},
                  {std::log(2e-6), 0.5},
                  {std::log(0.8 * chip.memory_bandwidth.value()), 0.2},
                  {std::log(3e-6), set.max_split > 1 ? 0.8 : 0.0},
                  {std::log(sm_load), 0.5 * free},
                  {std::log(0.5 * all * sm_load), 0.5 * free},
                  {std::log(0.25 * sm_load), 1.0 * free},
                  {std::log(0.1), 1.0 * free},
                  {std::log(0.1), 1.0 * free}};
  constexpr std::size_t kFirstEfficiency = 11;
  for (std::size_t g = 1; g < set.groups.size(); ++g) model.priors.push_back({std::log(set.groups[g].efficiency), 0.15});
  model.curve = [key, set](const std::vector<double>& theta) {
    GemmCurve curve = key;
    curve.sm_rate = FlopsPerSecond{std::exp(theta[0])};
    curve.tile_overhead = Seconds{std::exp(theta[1])};
    curve.wave_smoothing = logistic(theta[2]);
    curve.launch = Seconds{std::exp(theta[3])};
    curve.memory_rate = BytesPerSecond{std::exp(theta[4])};
    curve.max_split = set.max_split;
    if (set.max_split > 1) curve.split_cost = Seconds{std::exp(theta[5])};
    if (set.loads) {
      curve.sm_load = BytesPerSecond{std::exp(theta[6])};
      curve.chip_load = BytesPerSecond{std::exp(theta[7])};
      curve.sm_store = BytesPerSecond{std::exp(theta[8])};
      curve.misaligned = std::exp(theta[9]);
      curve.off_sector = std::exp(theta[10]);
    }
    curve.tiles.clear();
    for (std::size_t g = 0; g < set.groups.size(); ++g) {
      for (GemmTile tile : set.groups[g].tiles) {
        tile.efficiency = g == 0 ? 1.0 : std::exp(theta[kFirstEfficiency + g - 1]);
        curve.tiles.push_back(tile);
      }
    }
    return curve;
  };
  return model;
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
  std::vector<GemmCurve> starts = {key};
  if (key.grouped) starts.push_back(key), starts.back().one_by_one = true;
  std::optional<CurveModel<GemmCurve>> best;
  bool corrected = false;
  Residuals best_residuals;
  const auto offer = [&](const CurveModel<GemmCurve>& model, bool correction, const Residuals& residuals) {
    // A later way is more complicated and must be better by a twentieth.
    if (best && score(residuals) > 0.95 * score(best_residuals)) return;
    best = model, corrected = correction, best_residuals = residuals;
  };
  for (const GemmCurve& start : starts) {
    for (const TileSet& set : tile_sets(start.dtype, start.layout)) {
      const CurveModel<GemmCurve> model = gemm_model(start, set, chip);
      std::vector<GemmCurve> folds;  // the fits of the folds, in their order: the correction begins from the same
      offer(model, false, cross_validate(points, [&](const Points& train) { return folds.emplace_back(fit_model(model, train)); }));
      // The smooth correction has many knots: it needs a cloud of points.
      if (points.size() < 30 || start.grouped || (set.groups.size() == 1 && !set.loads)) continue;
      auto fold = folds.begin();
      offer(model, true, cross_validate(points, [&](const Points& train) { return with_correction(*fold++, train); }));
    }
  }
  GemmCurve curve = fit_model(*best, points);
  if (corrected) curve = with_correction(curve, points);
  curve.info.residuals = best_residuals;
  fill_ranges(curve, points);
  return curve;
}

}  // namespace trillion
