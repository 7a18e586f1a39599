#include "sim/timing/fallback.h"

#include <cmath>
#include <limits>
#include <span>

namespace trillion {
namespace {

// How far a relative is, and how much less it can be trusted.
struct Kinship {
  double distance = 0;
  double widening = 0;

  void add(bool differs, double step, double wider) {
    if (differs) distance += step, widening += wider;
  }
};

bool is_fp8(DType dtype) { return dtype == DType::fp8 || dtype == DType::fp8_block; }

Kinship kinship(const GemmCurve& a, const GemmCurve& b) {
  Kinship k;
  k.add(a.accumulate_fp32 != b.accumulate_fp32, 1, 0.05);
  k.add(a.layout != b.layout, 2, 0.10);
  k.add(a.load != b.load, 4, 0.05);
  k.add(a.dtype != b.dtype && is_fp8(a.dtype) == is_fp8(b.dtype), 8, 0.10);
  k.add(is_fp8(a.dtype) != is_fp8(b.dtype), 16, 0.25);
  // Many small products side by side lose in any precision what one large product does not.
  k.add(a.grouped != b.grouped, 20, 0.15);
  return k;
}

Kinship kinship(const AttentionCurve& a, const AttentionCurve& b) {
  Kinship k;
  k.add(a.load != b.load, 4, 0.05);
  const double ratio = static_cast<double>(a.qk_dim + a.v_dim) / static_cast<double>(b.qk_dim + b.v_dim);
  k.add(a.qk_dim != b.qk_dim || a.v_dim != b.v_dim, 0.1 + 8 * std::abs(std::log2(ratio)), 0.10);
  k.add(a.library != b.library, 32, 0.50);
  k.add(a.direction != b.direction, 64, 0.30);
  k.add(a.dtype != b.dtype, 128, 0.25);
  return k;
}

Kinship kinship(const MemoryCurve& a, const MemoryCurve& b) {
  Kinship k;
  k.add(a.load != b.load, 4, 0.05);
  // Only `copy` may stand in for another kernel; but PyTorch casts with one kernel, element by element, in either direction.
  const bool casts = a.kernel == MemoryKernel::torch_cast_bf16 && b.kernel == MemoryKernel::torch_cast_fp32;
  k.add(a.kernel != b.kernel, casts ? 8 : b.kernel == MemoryKernel::copy ? 16 : 1e6, casts ? 0.10 : 0.25);
  return k;
}

Kinship kinship(const ExpertCurve& a, const ExpertCurve& b) {
  Kinship k;
  k.add(a.load != b.load, 4, 0.30);
  k.add(a.kind != b.kind, 8, 0.30);
  return k;
}

// Kinds that move data alike, nearest first.
double collective_distance(CollectiveKind wanted, CollectiveKind present) {
  const bool gather_like = present == CollectiveKind::all_gather || present == CollectiveKind::reduce_scatter;
  if (wanted == present) return 0;
  if (gather_like) return present == CollectiveKind::all_gather ? 1 : 2;
  return present == CollectiveKind::all_reduce ? 3 : 4;
}

Kinship kinship(const CollectiveCurve& a, const CollectiveCurve& b) {
  Kinship k;
  k.add(a.kind != b.kind, collective_distance(a.kind, b.kind), 0.30);
  return k;
}

// A relative further than this is none.
constexpr double kTooFar = 1e5;

template <class Curve>
const Curve* nearest(const std::vector<Curve>& curves, const Curve& wanted) {
  const Curve* best = nullptr;
  double distance = kTooFar;
  for (const auto& curve : curves) {
    const double d = kinship(wanted, curve).distance;
    if (d < distance) distance = d, best = &curve;
  }
  return best;
}

CurveInfo stand_in_info(const std::string& name, const CurveInfo& parent, double widening) {
  CurveInfo info = parent;
  info.name = name + " (as " + parent.name + ")";
  info.provenance = {Origin::assumed, "no curve of its own; taken from '" + parent.name + "' (" + to_text(parent.provenance.origin) + ": " +
                                          parent.provenance.source + ")"};
  info.residuals = {parent.residuals.median + widening / 2, parent.residuals.p90 + widening, 0};
  return info;
}

double sustained_factor(Load from, Load to, double slowdown) {
  if (from == to || slowdown <= 0) return 1;
  return to == Load::sustained ? slowdown : 1 / slowdown;
}

double peak(const Chip& chip, DType dtype) {
  if (is_fp8(dtype) && chip.peak_fp8.value() > 0) return chip.peak_fp8.value();
  return dtype == DType::fp32 ? chip.peak_bf16.value() / 2 : chip.peak_bf16.value();  // FP32 runs as TF32, at half of BF16
}

}  // namespace

std::optional<GemmCurve> stand_in(const Calibration& calibration, const GemmCurve& wanted) {
  const GemmCurve* parent = nearest(calibration.gemms, wanted);
  if (parent == nullptr) return std::nullopt;
  GemmCurve curve = *parent;
  curve.grouped = wanted.grouped;
  curve.one_by_one = parent->one_by_one && wanted.grouped;
  curve.dtype = wanted.dtype;
  curve.layout = wanted.layout;
  curve.accumulate_fp32 = wanted.accumulate_fp32;
  curve.load = wanted.load;
  const double slower = sustained_factor(parent->load, wanted.load, calibration.stack.sustained_gemm.value);
  curve.sm_rate *= peak(calibration.chip, wanted.dtype) / peak(calibration.chip, parent->dtype) / slower;
  curve.sm_load *= 1 / slower;
  curve.chip_load *= 1 / slower;
  curve.tile_overhead *= slower;
  curve.info = stand_in_info(curve_name(curve), parent->info, kinship(wanted, *parent).widening);
  return curve;
}

std::optional<AttentionCurve> stand_in(const Calibration& calibration, const AttentionCurve& wanted) {
  const AttentionCurve* parent = nearest(calibration.attentions, wanted);
  if (parent == nullptr) return std::nullopt;
  AttentionCurve curve = *parent;
  curve.dtype = wanted.dtype;
  curve.direction = wanted.direction;
  curve.qk_dim = wanted.qk_dim;
  curve.v_dim = wanted.v_dim;
  curve.library = wanted.library;
  curve.load = wanted.load;
  const double slower = sustained_factor(parent->load, wanted.load, calibration.stack.sustained_attention.value);
  curve.sm_rate *= 1 / slower;
  curve.tile_overhead *= slower;
  // FlashAttention-3 reaches about 0.75 of its forward rate in the backward pass (Shah et al. 2024, figures 5 and 6).
  if (wanted.direction != parent->direction) curve.sm_rate *= wanted.direction == Direction::backward ? 0.75 : 1 / 0.75;
  curve.info = stand_in_info(curve_name(curve), parent->info, kinship(wanted, *parent).widening);
  return curve;
}

std::optional<MemoryCurve> stand_in(const Calibration& calibration, const MemoryCurve& wanted) {
  const MemoryCurve* parent = nearest(calibration.memory_kernels, wanted);
  if (parent == nullptr) return std::nullopt;
  MemoryCurve curve = *parent;
  curve.kernel = wanted.kernel;
  curve.load = wanted.load;
  const double slower = sustained_factor(parent->load, wanted.load, calibration.stack.sustained_memory.value);
  curve.rate *= 1 / slower;
  for (double& seconds : curve.seconds) seconds *= slower;
  curve.info = stand_in_info(curve_name(curve), parent->info, kinship(wanted, *parent).widening);
  return curve;
}

std::optional<CollectiveCurve> stand_in(const Calibration& calibration, const CollectiveCurve& wanted) {
  const CollectiveCurve* parent = nearest(calibration.collectives, wanted);
  if (parent == nullptr) return std::nullopt;
  CollectiveCurve curve = *parent;
  curve.kind = wanted.kind;
  curve.knots.clear();  // another kind's times
  curve.info = stand_in_info(curve_name(curve), parent->info, kinship(wanted, *parent).widening);
  return curve;
}

std::optional<ExpertCurve> stand_in(const Calibration& calibration, const ExpertCurve& wanted) {
  if (const ExpertCurve* parent = nearest(calibration.experts, wanted)) {
    ExpertCurve curve = *parent;
    curve.kind = wanted.kind;
    curve.load = wanted.load;
    curve.info = stand_in_info(curve_name(curve), parent->info, kinship(wanted, *parent).widening);
    return curve;
  }
  // No expert-parallel library was measured: two hops over the collectives' links.
  CollectiveCurve all_to_all;
  all_to_all.kind = CollectiveKind::all_to_all;
  const CollectiveCurve* parent = nearest(calibration.collectives, all_to_all);
  if (parent == nullptr) return std::nullopt;
  ExpertCurve curve;
  curve.kind = wanted.kind;
  curve.load = wanted.load;
  curve.latency = parent->base + parent->nvlink_step + parent->nic_step;
  curve.nic = parent->nic;
  curve.nvlink = parent->nvlink;
  curve.sms = calibration.stack.collective_sms.value;
  curve.bytes = parent->bytes;
  curve.ranks = parent->ranks;
  curve.info = stand_in_info(curve_name(curve), parent->info, 0.50);
  return curve;
}

}  // namespace trillion
