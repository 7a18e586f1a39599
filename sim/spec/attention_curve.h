// How long fused attention takes as a function of its shape (curve.h says what all curves share).
#pragma once

#include <cstdint>

#include "sim/base/quantity.h"
#include "sim/spec/curve_info.h"
#include "sim/spec/kernel.h"

namespace trillion {

// Fused attention. A work item is a tile of `tile_queries` rows (backward: of keys) of one head; it loops over the keys (queries)
// that it sees, in steps of `tile_keys`.
//
//   item    = o + 2 tile_rows columns (products of head dims, flops(Attention)) / sm_rate,     o = tile_overhead
//   causal  = max(sum of items / S, longest item) + tail x longest item     (items differ: the scheduler fills the gaps)
//   full    = unmasked waves(items / S) item                     the library's kernel without a mask may be another one
//   forward   time = launch + max(that, bytes of Q K V O / memory_rate)
//   backward  time = launch + that + bytes of Q K V O and their gradients / memory_rate     what passes before and after move;
//                    with shared key heads also the gradients of K and V per query head, written and added up
//   both      x exp(throttle clamp(ln(time / 1 ms) / ln 30, 0, 1))     a long kernel meets the power limit while it runs
struct AttentionCurve {
  CurveInfo info;
  DType dtype = DType::bf16;
  Direction direction = Direction::forward;
  std::int64_t qk_dim = 128, v_dim = 128;
  AttentionLibrary library = AttentionLibrary::fastest;
  Load load = Load::burst;

  FlopsPerSecond sm_rate;
  std::int64_t tile_queries = 128, tile_keys = 128;
  Seconds tile_overhead;
  double tail = 0;      // of the longest item, causal
  double unmasked = 1;  // time of full attention's items over causal ones'
  double wave_smoothing = 0;
  Seconds launch;
  BytesPerSecond memory_rate;
  double throttle = 0;
  Range queries, keys;
};
Seconds evaluate(const AttentionCurve& curve, const Attention& attention, double sms);

}  // namespace trillion
