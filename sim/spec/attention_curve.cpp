#include "sim/spec/attention_curve.h"

#include <algorithm>
#include <cmath>

#include "sim/base/error.h"
#include "sim/base/rounding.h"
#include "sim/spec/waves.h"

namespace trillion {
namespace {

struct AttentionWork {
  double items = 0;    // of one head
  double total = 0;    // seconds on one SM, of one head
  double longest = 0;  // seconds of the longest item
};

// Forward items are query tiles that loop over keys; backward items are key tiles that loop over queries. Causal items see
// 1, 2, 3 ... tiles less than all: with d = whole - i * rows columns for i = 0, 1, ... while d > 0.
AttentionWork attention_work(const AttentionCurve& curve, const Attention& a) {
  const bool forward = curve.direction == Direction::forward;
  const std::int64_t rows = forward ? curve.tile_queries : curve.tile_keys, step = forward ? curve.tile_keys : curve.tile_queries;
  const double columns = static_cast<double>(step) * pieces(forward ? a.keys : a.queries, step);
  const double qk = static_cast<double>(a.qk_dim), v = static_cast<double>(a.v_dim);
  const double unit = 2.0 * static_cast<double>(rows) * (forward ? qk + v : 3 * qk + 2 * v) / curve.sm_rate.value();

  AttentionWork work;
  work.items = pieces(forward ? a.queries : a.keys, rows);
  work.longest = curve.tile_overhead.value() + unit * columns;
  if (!a.causal) {
    work.total = work.items * work.longest;
    return work;
  }
  // Items that see less than the whole: with fewer queries than keys, a key tile of an earlier slice is seen by all queries.
  const double height = static_cast<double>(rows);
  const double other = forward ? columns : static_cast<double>(a.queries);
  const double shrinking = std::min(work.items, std::ceil(other / height));
  const double full = forward ? 0 : std::max(0.0, work.items - shrinking);
  // Half a step more than the triangle: the diagonal's blocks are computed whole.
  const double seen = shrinking * columns - height * shrinking * (shrinking - 1) / 2;
  work.total = work.items * curve.tile_overhead.value() + unit * (seen + full * columns);
  return work;
}

double attention_bytes(const Attention& a) {
  const double element = element_bytes(a.dtype == DType::fp8_block ? DType::fp8 : a.dtype).value();
  const double batch = static_cast<double>(a.batch), qk = static_cast<double>(a.qk_dim), v = static_cast<double>(a.v_dim);
  const double query_side = static_cast<double>(a.heads * a.queries) * (qk + v);
  const double key_side = static_cast<double>(a.kv_heads * a.keys) * (qk + v);
  const double passes = a.direction == Direction::forward ? 1.0 : 2.0;  // backward reads Q K V O dO, writes dQ dK dV
  double bytes = element * batch * passes * (query_side + key_side);
  if (a.direction == Direction::backward && a.kv_heads < a.heads)
    bytes += 2 * element * batch * static_cast<double>(a.heads * a.keys) * (qk + v);
  return bytes;
}

}  // namespace

Seconds evaluate(const AttentionCurve& curve, const Attention& a, double sms) {
  CHECK(sms > 0);
  if (a.batch * a.heads == 0 || a.queries == 0 || a.keys == 0) return Seconds{};
  const AttentionWork work = attention_work(curve, a);
  const double heads = static_cast<double>(a.batch * a.heads);
  const double compute = a.causal ? std::max(heads * work.total / sms, work.longest) + curve.tail * work.longest
                                  : curve.unmasked * effective_waves(heads * work.items / sms, curve.wave_smoothing) * work.longest;
  const double memory = attention_bytes(a) / curve.memory_rate.value();
  const double alone = curve.launch.value() + (a.direction == Direction::backward ? compute + memory : std::max(compute, memory));
  const double length = std::clamp(std::log(alone / 1e-3) / std::log(30.0), 0.0, 1.0);
  return curve.info.scale * Seconds{alone * std::exp(curve.throttle * length)};
}

}  // namespace trillion
