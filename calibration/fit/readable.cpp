#include "calibration/fit/readable.h"

#include "calibration/fit/curve_model.h"

namespace trillion {
namespace {

void residuals(CurveInfo& info) {
  info.residuals.median = std::round(info.residuals.median * 1e4) / 1e4;
  info.residuals.p90 = std::round(info.residuals.p90 * 1e4) / 1e4;
}

void number(double& value) { value = round_to_4_digits(value); }

}  // namespace

void make_readable(GemmCurve& c) {
  round_to_4_digits(c.sm_rate);
  round_to_4_digits(c.tile_overhead);
  round_to_4_digits(c.launch);
  for (BytesPerSecond* rate : {&c.memory_rate, &c.sm_load, &c.chip_load, &c.sm_store}) round_to_4_digits(*rate);
  round_to_4_digits(c.split_cost);
  number(c.wave_smoothing);
  number(c.misaligned);
  number(c.off_sector);
  for (auto& tile : c.tiles) number(tile.efficiency);
  residuals(c.info);
}

void make_readable(AttentionCurve& c) {
  round_to_4_digits(c.sm_rate);
  round_to_4_digits(c.tile_overhead);
  round_to_4_digits(c.launch);
  round_to_4_digits(c.memory_rate);
  number(c.tail);
  number(c.unmasked);
  number(c.throttle);
  number(c.wave_smoothing);
  residuals(c.info);
}

void make_readable(MemoryCurve& c) {
  round_to_4_digits(c.launch);
  round_to_4_digits(c.row_root);
  round_to_4_digits(c.rate);
  round_to_4_digits(c.sm_rate);
  number(c.sm_exponent);
  residuals(c.info);
}

void make_readable(CollectiveCurve& c) {
  round_to_4_digits(c.base);
  round_to_4_digits(c.nvlink_step);
  round_to_4_digits(c.nic_step);
  round_to_4_digits(c.pipeline);
  round_to_4_digits(c.nvlink);
  round_to_4_digits(c.nic);
  round_to_4_digits(c.local);
  for (auto& knots : c.knots) {
    for (double& seconds : knots.seconds) seconds = round_to_4_digits(seconds);
  }
  residuals(c.info);
}

void make_readable(ExpertCurve& c) {
  round_to_4_digits(c.latency);
  round_to_4_digits(c.nic);
  round_to_4_digits(c.nvlink);
  residuals(c.info);
}

}  // namespace trillion
