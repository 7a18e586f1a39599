#include "sim/spec/calibration.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "sim/base/enum_name.h"
#include "sim/base/random.h"

namespace trillion {
namespace {

// Collects complaints about one curve.
class Judge {
 public:
  Judge(std::string name, std::vector<std::string>& complaints) : name_(std::move(name)), complaints_(complaints) {}

  void positive(const char* what, double value) {
    if (!(value > 0) || !std::isfinite(value)) say(std::string(what) + " must be positive");
  }
  void not_negative(const char* what, double value) {
    if (!(value >= 0) || !std::isfinite(value)) say(std::string(what) + " must not be negative");
  }
  void fraction(const char* what, double value) {
    if (!(value >= 0 && value <= 1)) say(std::string(what) + " must lie between 0 and 1");
  }
  void ascending(const char* what, const std::vector<double>& values) {
    for (std::size_t i = 1; i < values.size(); ++i) {
      if (!(values[i] > values[i - 1])) return say(std::string(what) + " must ascend");
    }
  }
  void say(const std::string& complaint) { complaints_.push_back(name_ + ": " + complaint); }

 private:
  std::string name_;
  std::vector<std::string>& complaints_;
};

void judge(const GemmCurve& c, Judge& j) {
  j.positive("sm_rate", c.sm_rate.value());
  j.positive("memory_rate", c.memory_rate.value());
  j.not_negative("tile_overhead", c.tile_overhead.value());
  j.not_negative("launch", c.launch.value());
  j.not_negative("split_cost", c.split_cost.value());
  if (c.one_by_one && !c.grouped) j.say("one_by_one is for grouped GEMMs");
  j.fraction("wave_smoothing", c.wave_smoothing);
  j.not_negative("sm_load", c.sm_load.value());
  j.not_negative("chip_load", c.chip_load.value());
  j.not_negative("sm_store", c.sm_store.value());
  j.not_negative("misaligned", c.misaligned);
  j.not_negative("off_sector", c.off_sector);
  if (c.tiles.empty()) j.say("needs at least one tile: 'tiles', or 'tiles_m' and 'tiles_n' of one length");
  for (const auto& tile : c.tiles) {
    j.positive("a tile's efficiency", tile.efficiency);
    if (tile.m < 1 || tile.n < 1) j.say("a tile has at least one row and column");
  }
  if (c.max_split < 1 || c.max_split > 64) j.say("max_split must lie between 1 and 64");
  j.ascending("correction: ln_fill", c.correction.ln_fill);
  j.ascending("correction: ln_k", c.correction.ln_k);
  if (c.correction.ln_factor.size() != c.correction.ln_fill.size() * c.correction.ln_k.size()) {
    j.say("correction: needs one ln_factor per pair of knots");
  }
}

void judge(const AttentionCurve& c, Judge& j) {
  j.positive("sm_rate", c.sm_rate.value());
  j.positive("memory_rate", c.memory_rate.value());
  j.not_negative("tile_overhead", c.tile_overhead.value());
  j.not_negative("tail", c.tail);
  j.positive("unmasked", c.unmasked);
  j.not_negative("throttle", c.throttle);
  j.not_negative("launch", c.launch.value());
  j.fraction("wave_smoothing", c.wave_smoothing);
  if (c.tile_queries < 1 || c.tile_keys < 1) j.say("a tile has at least one query and one key");
  if (c.qk_dim < 1 || c.v_dim < 1) j.say("head dimensions must be positive");
}

void judge(const MemoryCurve& c, Judge& j) {
  j.positive("rate", c.rate.value());
  j.not_negative("sm_rate", c.sm_rate.value());
  j.not_negative("sm_exponent", c.sm_exponent);
  if (c.chip_sms < 0) j.say("chip_sms must not be negative");
  j.not_negative("launch", c.launch.value());
  j.not_negative("row_root", c.row_root.value());
  j.ascending("knots: bytes", c.bytes);
  if (c.bytes.size() != c.seconds.size()) j.say("knots: needs one time per size");
  for (std::size_t i = 1; i < c.seconds.size(); ++i) {
    if (c.seconds[i] < c.seconds[i - 1]) return j.say("knots: time must not fall with size");
  }
}

void judge(const std::vector<CollectiveKnots>& groups, Judge& j) {
  for (const auto& knots : groups) {
    if (knots.ranks < 2) j.say("knots: a group has at least two ranks");
    if (knots.bytes.size() < 2 || knots.bytes.size() != knots.seconds.size())
      j.say("knots: needs two sizes or more, and one time per size");
    j.ascending("knots: bytes", knots.bytes);
    if (!knots.seconds.empty()) j.positive("knots: seconds", knots.seconds.front());
    if (!std::is_sorted(knots.seconds.begin(), knots.seconds.end())) j.say("knots: time must not fall with size");
  }
}

void judge(const CollectiveCurve& c, Judge& j) {
  j.positive("nvlink", c.nvlink.value());
  j.positive("nic", c.nic.value());
  j.not_negative("base", c.base.value());
  j.not_negative("nvlink_step", c.nvlink_step.value());
  j.not_negative("nic_step", c.nic_step.value());
  j.not_negative("pipeline", c.pipeline.value());
  j.not_negative("local", c.local.value());
  if (c.sms < 0) j.say("sms must not be negative");
  judge(c.knots, j);
  judge(c.switch_knots, j);
  if (!c.switch_knots.empty() && c.kind != CollectiveKind::all_reduce) j.say("switch_knots: only an all_reduce is added by the switch");
}

void judge(const ExpertCurve& c, Judge& j) {
  j.positive("nvlink", c.nvlink.value());
  j.positive("nic", c.nic.value());
  j.not_negative("latency", c.latency.value());
  if (c.sms < 0) j.say("sms must not be negative");
}

struct FigureJudge {
  std::vector<std::string>& complaints;

  template <class T>
  void operator()(const char* name, const Figure<T>& figure) const {
    if constexpr (std::is_enum_v<T>) {
      return;  // any name is one that can be
    } else if constexpr (std::is_arithmetic_v<T>) {
      check(name, static_cast<double>(figure.value));
    } else {
      check(name, figure.value.value());
    }
  }
  template <class T>
  void operator()(const char*, const Figure<std::vector<T>>&) const {}
  void operator()(const char* name, const Figure<DType>& figure) const {
    if (figure.value != DType::fp8 && figure.value != DType::fp8_block) {
      complaints.push_back(std::string("stack: ") + name + " must be fp8 or fp8_block");
    }
  }
  void check(const char* name, double value) const {
    if (!(value >= 0) || !std::isfinite(value)) complaints.push_back(std::string("stack: ") + name + " must not be negative");
  }
};

}  // namespace

std::string curve_name(const GemmCurve& c) {
  return std::string(c.grouped ? "grouped_gemm " : "gemm ") + name_of(kDTypeNames, c.dtype) + " " + name_of(kGemmLayoutNames, c.layout) +
         (c.accumulate_fp32 ? " accumulate " : " ") + name_of(kLoadNames, c.load);
}

std::string curve_name(const AttentionCurve& c) {
  return "attention " + name_of(kDTypeNames, c.dtype) + " " + std::to_string(c.qk_dim) + "/" + std::to_string(c.v_dim) + " " +
         name_of(kDirectionNames, c.direction) + " " + name_of(kLoadNames, c.load) +
         (c.library == AttentionLibrary::fastest ? "" : " " + name_of(kAttentionLibraryNames, c.library));
}

std::string curve_name(const MemoryCurve& c) {
  return "memory_bound " + name_of(kMemoryKernelNames, c.kernel) + " " + name_of(kLoadNames, c.load);
}

std::string curve_name(const CollectiveCurve& c) { return "collective " + name_of(kCollectiveKindNames, c.kind); }

std::string curve_name(const ExpertCurve& c) {
  return "collective " + name_of(kCollectiveKindNames, c.kind) + " " + name_of(kLoadNames, c.load);
}

std::vector<CurveInfo> Calibration::curves() const {
  std::vector<CurveInfo> result;
  for_each_curve(*this, [&](const auto& curve) { result.push_back(curve.info); });
  return result;
}

std::vector<std::string> Calibration::validate() const {
  std::vector<std::string> complaints;
  if (gpu.empty()) complaints.push_back("gpu: the GPU that the profile speaks of must be named");
  if (software.empty()) complaints.push_back("software: the software stack that the profile speaks of must be named");
  Judge chip_judge("chip", complaints);
  if (chip.sms < 1) chip_judge.say("sms must be positive");
  chip_judge.positive("peak_bf16", chip.peak_bf16.value());
  chip_judge.not_negative("peak_fp8", chip.peak_fp8.value());
  chip_judge.positive("memory_bandwidth", chip.memory_bandwidth.value());
  chip_judge.positive("nvlink", chip.nvlink.value());
  chip_judge.positive("nic", chip.nic.value());
  if (power.known()) {
    Judge power_judge("power", complaints);
    power_judge.positive("clock_max_mhz", power.clock_max_mhz);
    power_judge.positive("products", power.products.value());
    power_judge.not_negative("idle", power.idle.value());
    power_judge.not_negative("memory_kernels", power.memory_kernels.value());
    for (const Joules energy : {power.bf16, power.fp8, power.attention, power.memory})
      power_judge.not_negative("an energy", energy.value());
    if (!(power.idle < power.limit)) power_judge.say("idle must be below the limit");
  }
  if (stack.head_multiple.value < 1) complaints.push_back("stack: head_multiple must be at least 1");
  for_each_figure(stack, FigureJudge{complaints});
  std::set<std::string> seen;
  for_each_curve(*this, [&](const auto& curve) {
    const std::string name = curve_name(curve);
    Judge curve_judge(name, complaints);
    if (!seen.insert(name).second) curve_judge.say("appears twice");
    curve_judge.not_negative("residuals: median", curve.info.residuals.median);
    curve_judge.not_negative("residuals: p90", curve.info.residuals.p90);
    curve_judge.positive("scale", curve.info.scale);
    judge(curve, curve_judge);
  });
  return complaints;
}

Calibration redraw(const Calibration& calibration, std::uint64_t seed) {
  Calibration result = calibration;
  const Random random(seed, 0x63616c6962);  // a stream of its own
  std::uint64_t index = 0;
  for_each_curve(result, [&](auto& curve) {
    const double sigma = std::log1p(curve.info.residuals.p90) / 1.645;
    curve.info.scale *= std::exp(sigma * random.normal(index++));
  });
  return result;
}

}  // namespace trillion
