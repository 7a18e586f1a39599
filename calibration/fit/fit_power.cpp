#include "calibration/fit/fit_power.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>

#include "calibration/fit/curve_model.h"
#include "calibration/fit/least_squares.h"
#include "sim/spec/chip_power.h"
#include "sim/spec/unit_text.h"

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

// A kernel that shared its time with gaps.
struct Shared {
  std::size_t kernel = 0;  // which
  double clock_mhz = 0, busy = 0, power_w = 0;
  double gap_mhz = 0;    // clock in the gaps
  bool copying = false;  // in the gaps
};

struct SharedRows {
  std::vector<Shared> rows;
  std::size_t kernels = 0;
  double gap_w = 0;  // of idle gaps alone
  std::string source;
};

// Of one file: its chip's own clocks.
void collect_shared(const RawFile& file, SharedRows& all) {
  struct Alone {
    std::size_t kernel;
    double clock_mhz, seconds;
  };
  std::map<std::string, Alone> alone;
  const auto kernel_of = [](const JsonLine& line) { return line.find("victim") == nullptr ? std::string() : line.find("victim")->text; };
  const auto idle = [](const JsonLine& line) { return line.find("gap") != nullptr && line.find("gap")->text == "idle"; };
  const auto counts = [](const JsonLine& line) {
    return line.find("op") != nullptr && line.find("op")->text == "power" && number_of(line, "time_s") > 0;
  };
  for (const JsonLine& line : file.others) {
    if (!counts(line) || !idle(line)) continue;
    if (number_of(line, "duty") == 1) alone[kernel_of(line)] = {all.kernels++, number_of(line, "clock_mhz"), number_of(line, "time_s")};
    if (number_of(line, "duty") == 0) all.gap_w = number_of(line, "power_w");
  }
  for (const JsonLine& line : file.others) {
    const auto found = counts(line) ? alone.find(kernel_of(line)) : alone.end();
    if (found == alone.end() || number_of(line, "duty") == 0) continue;
    const double clock = found->second.clock_mhz * found->second.seconds / number_of(line, "time_s"), busy = number_of(line, "busy");
    const double gap = busy < 0.98 ? (number_of(line, "clock_mhz") - busy * clock) / (1 - busy) : clock;
    all.rows.push_back({found->second.kernel, clock, busy, number_of(line, "power_w"), gap, !idle(line)});
    all.source = file.provenance.source;
  }
}

// How draw grows with the clock, and where that is from.
struct Growth {
  double exponent = 1, memory_clock = 1;
  std::string source = "that draw grows in proportion to the clock is assumed";
};

Growth fit_growth(const std::vector<RawFile>& files) {
  SharedRows all;
  for (const bool borrowed : {false, true}) {
    for (const RawFile& file : files) {
      if (file.borrowed == borrowed) collect_shared(file, all);
    }
    if (all.rows.size() >= kEnoughClocks) break;
  }
  if (all.rows.size() < kEnoughClocks) return {};
  constexpr double kAt = 1400;  // MHz
  const auto residual = [&](const std::vector<double>& theta) {
    std::vector<double> r;
    for (const Shared& row : all.rows) {
      const double kernel = all.gap_w + std::exp(theta[2 + row.kernel]) * std::pow(row.clock_mhz / kAt, std::exp(theta[0]));
      const double gap = all.gap_w + (row.copying ? std::exp(theta[1]) * row.gap_mhz / kAt : 0.0);
      r.push_back(std::log((row.busy * kernel + (1 - row.busy) * gap) / row.power_w));
    }
    return r;
  };
  // Between the clock alone and the clock times the square of a voltage that follows it; a copy draws 300 W at that clock, a product 600.
  std::vector<Prior> priors = {{std::log(2.0), 0.7}, {std::log(300.0), 0.5}};
  priors.resize(2 + all.kernels, {std::log(600.0), 0.5});
  const double exponent = std::exp(least_squares(residual, priors)[0]);
  std::vector<double> faster;
  for (const Shared& row : all.rows) {
    if (row.copying && row.busy < 0.98) faster.push_back(row.gap_mhz / row.clock_mhz);
  }
  const double memory_clock = faster.empty() ? 1.0 : std::max(1.0, quantile(faster, 0.5));
  return {std::round(100 * exponent) / 100, std::round(1000 * memory_clock) / 1000,
          "the exponent: " + std::to_string(all.rows.size()) + " rows of kernels that share their time with gaps, " + all.source};
}

}  // namespace

ChipPower fit_power(const std::vector<RawFile>& files) {
  const Rows rows = collect(files);
  if (rows.held.size() < kEnoughClocks) return {};
  ChipPower start;
  start.limit = Watts{rows.limit};
  start.idle = Watts{rows.idle};
  start.clock_max_mhz = rows.clock_max;
  const Growth growth = fit_growth(files);
  start.exponent = growth.exponent;
  start.memory_clock = growth.memory_clock;
  // A memory-bound kernel leaves half of the SMs' issue slots empty: 0.55 of the limit where none was watched.
  start.memory_kernels = (rows.memory_watts.empty() ? 0.55 * start.limit : Watts{quantile(rows.memory_watts, 0.5)}) - start.idle;
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
  // Half of the limit goes to clocks, caches and issue; at the clocks that it leaves, tensor cores take 0.3 J per 1e12 FLOP in BF16
  // and half of it in FP8, HBM3 4 to 7 pJ a bit. At the highest clock it would be more, as the exponent says.
  const double more = std::pow(1980.0 / 1400, growth.exponent - 1);
  const std::vector<Prior> priors = {{std::log(0.75 * more * rows.limit), 0.5},
                                     {std::log(0.3 * more), 0.7},
                                     {std::log(0.18 * more), 0.7},
                                     {std::log(0.3 * more), 0.7},
                                     {std::log(5.0 * more), 0.7}};
  ChipPower fitted = power(least_squares(residual, priors));
  std::vector<double> errors;
  for (const Held& h : rows.held) errors.push_back(std::log(clock_alone(fitted, h.draw) / h.clock_mhz));
  fitted.residuals = residuals_of(errors);
  for (Watts* w : {&fitted.idle, &fitted.products, &fitted.memory_kernels}) *w = Watts{std::round(w->value())};
  for (Joules* j : {&fitted.bf16, &fitted.fp8, &fitted.attention, &fitted.memory}) round_to_4_digits(*j);
  fitted.residuals.median = std::round(fitted.residuals.median * 1e4) / 1e4;
  fitted.residuals.p90 = std::round(fitted.residuals.p90 * 1e4) / 1e4;
  fitted.provenance = {Origin::measured, rows.source + "; " + growth.source};
  return fitted;
}

}  // namespace trillion
