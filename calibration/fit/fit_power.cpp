#include "calibration/fit/fit_power.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "calibration/fit/curve_model.h"
#include "calibration/fit/least_squares.h"
#include "sim/spec/chip_power.h"

namespace trillion {
namespace {

// A kernel that the power limit held.
struct Held {
  Draw draw;
  double clock_mhz = 0;
};

struct Rows {
  std::vector<Held> held;
  std::vector<double> memory_watts;
  double limit = 0, clock_max = 0, idle = std::numeric_limits<double>::infinity();
  std::string source;
};

// The highest clock is reached to a few MHz.
constexpr double kBelowMax = 0.985;

void add(const RawRow& row, const RawFile& file, Rows& rows) {
  if (row.power_w > 0) rows.idle = std::min(rows.idle, row.power_w);
  if (row.query.load != Load::sustained || row.clock_mhz <= 0 || row.query.sms > 0) return;
  if (std::holds_alternative<MemoryBound>(row.query.shape)) {
    if (row.power_w > 0) rows.memory_watts.push_back(row.power_w);
    return;
  }
  if (row.clock_mhz > kBelowMax * file.clock_max_mhz || std::holds_alternative<Collective>(row.query.shape)) return;
  const std::optional<Draw> draw = draw_of(row.query.shape, row.time);
  if (draw) rows.held.push_back({*draw, row.clock_mhz});
}

Rows collect(const std::vector<RawFile>& files) {
  Rows rows;
  for (const RawFile& file : files) {
    if (file.borrowed || file.power_limit_w <= 0 || file.clock_max_mhz <= 0) continue;
    rows.limit = file.power_limit_w;
    rows.clock_max = file.clock_max_mhz;
    if (rows.source.empty()) rows.source = file.provenance.source;
    for (const RawRow& row : file.rows) {
      if (row.provenance.origin == Origin::measured) add(row, file, rows);
    }
  }
  return rows;
}

double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

}  // namespace

ChipPower fit_power(const std::vector<RawFile>& files) {
  const Rows rows = collect(files);
  if (rows.held.size() < kEnoughClocks) return {};
  ChipPower start;
  start.limit = Watts{rows.limit};
  start.idle = Watts{rows.idle};
  start.clock_max_mhz = rows.clock_max;
  // A memory-bound kernel leaves half of the SMs' issue slots empty: 0.55 of the limit where none was watched.
  start.memory_kernels = (rows.memory_watts.empty() ? 0.55 * start.limit : Watts{median(rows.memory_watts)}) - start.idle;
  const auto power = [&](const std::vector<double>& theta) {
    ChipPower p = start;
    p.products = Watts{std::exp(theta[0])};
    p.bf16 = Joules{std::exp(theta[1])};
    p.fp8 = Joules{std::exp(theta[2])};
    p.attention = Joules{std::exp(theta[3])};
    p.memory = Joules{std::exp(theta[4])};
    return p;
  };
  const auto residual = [&](const std::vector<double>& theta) {
    const ChipPower p = power(theta);
    std::vector<double> r;
    for (const Held& h : rows.held) r.push_back(std::log(draw(p, h.draw, h.clock_mhz) / p.limit));
    return r;
  };
  // Half of the limit goes to clocks, caches and issue; tensor cores take 0.3 J per 1e12 FLOP in BF16 and half of it in FP8, HBM3
  // 4 to 7 pJ a bit.
  const std::vector<Prior> priors = {
      {std::log(0.75 * rows.limit), 0.5}, {std::log(0.3), 0.7}, {std::log(0.18), 0.7}, {std::log(0.3), 0.7}, {std::log(5.0), 0.7}};
  ChipPower fitted = power(least_squares(residual, priors));
  std::vector<double> errors;
  for (const Held& h : rows.held) errors.push_back(std::log(clock_alone(fitted, h.draw) / h.clock_mhz));
  fitted.residuals = residuals_of(errors);
  for (Watts* w : {&fitted.idle, &fitted.products, &fitted.memory_kernels}) *w = Watts{std::round(w->value())};
  for (Joules* j : {&fitted.bf16, &fitted.fp8, &fitted.attention, &fitted.memory}) round_to_4_digits(*j);
  fitted.residuals.median = std::round(fitted.residuals.median * 1e4) / 1e4;
  fitted.residuals.p90 = std::round(fitted.residuals.p90 * 1e4) / 1e4;
  fitted.provenance = {Origin::measured, rows.source + "; that draw grows in proportion to the clock is assumed"};
  return fitted;
}

}  // namespace trillion
