// Curves: how long one kernel takes as a function of its shape. Struct *and* evaluation are here, so that the fit
// (calibration/fit) and the simulator (timing/) cannot drift apart.
//
// Every curve gives a *time* that never falls when a dimension grows; efficiency is a result, not an input. Symbols below:
// S = SMs that the kernel may use, x = work items / S, and
//
//   waves(x) = 1                                  x <= 1        one item still takes its whole time
//            = (1 - s) ceil(x) + s x              otherwise     s = `wave_smoothing`: 0 whole waves, 1 no quantisation
//
// Times are in seconds on the chip and in the power state that the curve was measured in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/spec/kernel.h"
#include "sim/spec/nccl.h"
#include "sim/spec/origin.h"

namespace trillion {

// How far the curve is from points that the fit did not see (k-fold cross-validation); for a curve without measured points,
// how far it may be, as its source says.
struct Residuals {
  double median = 0;        // of |time predicted / time measured - 1|
  double p90 = 0;           // 90th percentile of the same; also the half-width of the 90 % interval
  std::int64_t points = 0;  // held-out points behind the two figures; 0: they are a judgement
};

// Inclusive; low > high says that nothing was measured.
struct Range {
  double low = 1, high = 0;

  bool contains(double value) const { return low <= value && value <= high; }
};

struct CurveInfo {
  std::string name;  // "gemm fp8_block forward sustained"
  Provenance provenance;
  Residuals residuals;
  double scale = 1;  // times are multiplied by it: 1, unless the uncertainty redraws the curve
};

// ln(factor) over ln(fill) and ln(k), bilinear between knots and constant outside. What the physical terms leave over, as far
// as it is smooth: fewer busy SMs clock higher, long kernels meet the power limit. fill is x below one wave, waves(x) above.
// Empty: factor 1. Slopes are bounded by the fit so that time stays monotone.
struct GemmCorrection {
  std::vector<double> ln_fill, ln_k;  // ascending knots
  std::vector<double> ln_factor;      // [ln_fill.size()][ln_k.size()]

  double factor(double fill, double k) const;
};

// An output tile that the library may choose.
struct GemmTile {
  std::int64_t m = 128, n = 128;
  double efficiency = 1;  // of `sm_rate` in its K loop
};

// One GEMM, or one GEMM per group in one kernel. The library's choice is the fastest of its tiles and splits of k:
//
//   compute = min over tiles (tm x tn) and splits z = 1, 2, 4 ... max_split, z T <= 4 S or z = 1, of
//             (waves(z T / S) correction item) with (z T loads (k / z) / chip_load)
//             + [z > 1] (split_cost + 2 z m n 4 bytes / memory_rate)
//             T = ceil(m/tm) ceil(n/tn), summed over groups
//   item    = o + tm tn c / sm_store + (k / z) step            o = tile_overhead: prologue and epilogue;  c = bytes of C per element
//   step    = (2 tm tn / (efficiency sm_rate)) with (loads / sm_load)
//   loads   = (tm + tn) bytes of an operand's element          into the SM, for each step of k;  x (1 + misaligned) for each of A and B
//                                                              whose rows in memory are no multiple of 128 bytes (plain GEMMs)
//   memory  = (A + B + C bytes) / memory_rate                  C twice where it accumulates
//   time    = launch + compute with memory                     a with b = (a^4 + b^4)^(1/4): two limits, never both reached at once
//
// sm_load is what one SM can take in, chip_load what the L2 cache can give to all of them: why small tiles and tall thin ones are
// slow, alone and side by side. A rate of 0 is no limit. Time never falls when a dimension grows, among shapes whose rows are aligned
// alike: the library's kernels are up to a fifth slower on rows that are not, and so is the curve.
//
// `one_by_one`: the library runs the groups as kernels one after the other; the time is the sum of the plain ones.
// Groups of a weight gradient differ in the reduced dimension: then total work / S (at least the longest tile) plus
// (1 - s)/2 of the longest tile stand for the waves.
struct GemmCurve {
  CurveInfo info;
  bool grouped = false;
  DType dtype = DType::bf16;
  GemmLayout layout = GemmLayout::forward;
  bool accumulate_fp32 = false;
  Load load = Load::burst;

  FlopsPerSecond sm_rate;  // of one SM
  std::vector<GemmTile> tiles;
  BytesPerSecond sm_load, chip_load, sm_store;
  double misaligned = 0;
  Seconds tile_overhead;
  std::int64_t max_split = 1;
  Seconds split_cost;       // of adding the parts up
  bool one_by_one = false;  // grouped only
  double wave_smoothing = 0;
  Seconds launch;
  BytesPerSecond memory_rate;
  GemmCorrection correction;
  Range m, n, k;  // measured; for groups, of one group
};
// `item` above as seconds once and seconds for one step of k.
struct TilePace {
  double once = 0, per_k = 0;
};
TilePace pace_of(const GemmCurve& curve, const GemmTile& tile, double loads_factor = 1);

Seconds evaluate(const GemmCurve& curve, const Gemm& gemm, double sms);
Seconds evaluate(const GemmCurve& curve, const GroupedGemm& gemm, double sms);

// Fused attention. A work item is a tile of `tile_queries` rows (backward: of keys) of one head; it loops over the keys (queries)
// that it sees, in steps of `tile_keys`.
//
//   item    = o + 2 tile_rows columns (products of head dims, flops(Attention)) / sm_rate,     o = tile_overhead
//   causal  = max(sum of items / S, longest item) + tail x longest item     (items differ: the scheduler fills the gaps)
//   full    = waves(items / S) item
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
  double tail = 0;  // of the longest item, causal
  double wave_smoothing = 0;
  Seconds launch;
  BytesPerSecond memory_rate;
  double throttle = 0;
  Range queries, keys;
};
Seconds evaluate(const AttentionCurve& curve, const Attention& attention, double sms);

// A kernel whose time is the bytes it moves.
//
//   time = launch + bytes / rate x fewer,     fewer = max((C / S)^sm_exponent, rate / (S sm_rate)), at least 1
//
// C are the chip's SMs. With knots (what was measured, where the line misses the L2 cache's effect) log-log interpolation between
// them takes the line's place: constant below the first, the line's slope above the last.
struct MemoryCurve {
  CurveInfo info;
  MemoryKernel kernel = MemoryKernel::copy;
  Load load = Load::burst;

  Seconds launch;
  BytesPerSecond rate;
  BytesPerSecond sm_rate;              // what one SM can move; 0: no such limit
  double sm_exponent = 0;              // how time grows when the kernel loses a few SMs
  std::int64_t chip_sms = 0;           // C; 0: fewer SMs cost nothing
  std::vector<double> bytes, seconds;  // knots, both ascending; may be empty
  Range measured;                      // bytes
};
Seconds evaluate(const MemoryCurve& curve, const MemoryBound& kernel, double sms);

// What a group of ranks finds between its members, at the rates that the cluster at hand has (timing/ scales them).
struct GroupLinks {
  BytesPerSecond nvlink;  // one rank, one way, achieved
  BytesPerSecond nic;     // one rank's own share of its node's NICs, one way, achieved
  NcclLinks nccl = {};
};

// Collectives as NCCL runs them: latency per step plus a pipelined transfer (../shared/facts/communication.md, 4 and 5).
// n ranks, g on each of N = n / g nodes, S bytes as nccl-tests counts them:
//
//   transfer(w) = w + 2 sqrt(w pipeline)            w = bytes on the wire / rate. The root is the cost of the best chunk size:
//                                                   chunks too small pay latency, too large pay the fill of the pipeline.
//   rate        = nvlink on one node, else min(nvlink, g nic)         one ring per NIC: all NICs of the group's GPUs carry it
//   all_reduce      base + min(ring:  2(n-1) steps, of them 2(N-1) between nodes,  w = 2 (n-1)/n S / rate,
//                              tree:  2((g-1) + log2 N between nodes) steps,       w = 2 S / (0.92 rate))
//   all_gather, reduce_scatter   base + ring: n-1 steps, N-1 between nodes, w = (n-1)/n S / rate;  with g = 1 also the
//                                tree-like PAT: log2 N steps, w / 0.75
//   all_to_all      base + (g-1) nvlink_step + (n-g) nic_step + transfer(max((g-1)/n S / nvlink, (n-g)/n S / nic))
//   send_recv       base + one step + transfer(S / link)
//   broadcast       base + min(ring: n-1 steps, tree: (g-1) + log2 N steps) + transfer(S / rate)
//   on one node     plus own / local: what a rank moves without a link, S of an all_reduce, S / n of the next three kinds
//
// With knots, for groups on one node: of the measured group sizes m the one nearest to n in ratio; then
//
//   time = form(n, S) knots(m, S) / form(m, S)      log-log between knots; beyond them the ratio of the last one
//
// so that a measured size is what was measured and another cluster's links scale it as the closed form says. The library changes
// protocols on the way, and for another group size elsewhere (spec/nccl.h): where `links.nccl` is known, a ring of another size takes the
// protocol's own estimate (closed form for Simple) times what was measured over it where the measured group took that protocol.
struct CollectiveKnots {
  std::int64_t ranks = 0;              // m
  std::vector<double> bytes, seconds;  // both ascending
};

struct CollectiveCurve {
  CurveInfo info;
  CollectiveKind kind = CollectiveKind::all_reduce;

  Seconds base;                   // launch and synchronisation
  Seconds nvlink_step, nic_step;  // latency of one step; all_to_all: cost of one more peer
  Seconds pipeline;
  BytesPerSecond nvlink, nic;  // achieved on the calibrated machine
  BytesPerSecond local;        // 0: costs nothing
  std::int64_t sms = 0;        // that it holds meanwhile; 0: not measured
  std::vector<CollectiveKnots> knots;
  Range bytes, ranks, nodes;  // measured
};
Seconds evaluate(const CollectiveCurve& curve, const Collective& collective, const GroupLinks& links);

// Expert-parallel dispatch and combine of a library that sends a token to each node once and fans out over NVLink (DeepEP):
//
//   time = latency + max(bytes / nic, scale_up_bytes / nvlink)
struct ExpertCurve {
  CurveInfo info;
  CollectiveKind kind = CollectiveKind::expert_dispatch;
  Load load = Load::sustained;  // burst: the library alone; sustained: overlapped with computation

  Seconds latency;
  BytesPerSecond nic, nvlink;
  std::int64_t sms = 0;  // that it holds meanwhile
  Range bytes, ranks;
};
Seconds evaluate(const ExpertCurve& curve, const Collective& collective, const GroupLinks& links);

// (1 - s) ceil(x) + s x, at least 1. REQUIRES: x > 0.
double effective_waves(double items_per_sm, double smoothing);

}  // namespace trillion
