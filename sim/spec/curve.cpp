#include "sim/spec/curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/base/error.h"

namespace trillion {
namespace {

double ceil_div(std::int64_t a, std::int64_t b) { return static_cast<double>((a + b - 1) / b); }

// Position of `x` among ascending knots: index of the cell and the fraction within it, clamped to the ends.
struct Cell {
  std::size_t index = 0;
  double fraction = 0;
};

Cell find_cell(const std::vector<double>& knots, double x) {
  if (knots.size() < 2 || x <= knots.front()) return {0, 0.0};
  if (x >= knots.back()) return {knots.size() - 2, 1.0};
  const auto upper = std::upper_bound(knots.begin(), knots.end(), x);
  const auto index = static_cast<std::size_t>(upper - knots.begin()) - 1;
  return {index, (x - knots[index]) / (knots[index + 1] - knots[index])};
}

// max(a, b) with a rounded corner: both limits are never reached at once.
double soft_max(double a, double b) {
  const double top = std::max(a, b);
  if (top <= 0) return 0;
  const double u = a / top, v = b / top;
  return top * std::sqrt(std::sqrt(u * u * u * u + v * v * v * v));
}

// Bytes of A, B and C that must move at least once.
double gemm_bytes(const GemmCurve& curve, double m, double n, double k) {
  const double operand = element_bytes(curve.dtype).value();
  const double result = curve.accumulate_fp32 ? 8.0 : 2.0;  // FP32 read and written, or BF16 written
  return operand * (m * k + k * n) + result * m * n;
}

double over(double amount, BytesPerSecond rate) { return rate.value() > 0 ? amount / rate.value() : 0.0; }

// Bytes of operands that a tile takes in for one step of k.
double loads_of(const GemmCurve& curve, const GemmTile& tile) {
  return static_cast<double>(tile.m + tile.n) * element_bytes(curve.dtype).value();
}

double tile_seconds(const GemmCurve& curve, const GemmTile& tile, double k) {
  const TilePace pace = pace_of(curve, tile);
  return pace.once + pace.per_k * k;
}

// Rows of A are k long, but m in a BF16 weight gradient; rows of B are n long, but k in a BF16 forward pass and in FP8.
double loads_factor(const GemmCurve& curve, const Gemm& gemm) {
  if (curve.misaligned <= 0) return 1;
  constexpr std::int64_t kLine = 128;
  const bool wide = curve.dtype == DType::bf16 || curve.dtype == DType::fp32;
  const auto element = static_cast<std::int64_t>(element_bytes(curve.dtype).value());
  const std::int64_t a = wide && curve.layout == GemmLayout::weight_gradient ? gemm.m : gemm.k;
  const std::int64_t b = wide && curve.layout != GemmLayout::forward ? gemm.n : gemm.k;
  return 1 + curve.misaligned * ((a * element % kLine != 0 ? 1 : 0) + (b * element % kLine != 0 ? 1 : 0));
}

constexpr double kSplitWaves = 4;  // nothing is gained by splitting beyond

// The fastest tile and split. `rows` are the groups' m; one entry for a plain GEMM.
double compute_seconds(const GemmCurve& curve, const std::vector<std::int64_t>& rows, std::int64_t n, std::int64_t k, double sms,
                       double loads_factor = 1) {
  double best = std::numeric_limits<double>::infinity();
  double elements = 0;
  for (const auto m : rows) elements += static_cast<double>(m) * static_cast<double>(n);
  for (const auto& tile : curve.tiles) {
    double tiles = 0;
    for (const auto m : rows) tiles += ceil_div(m, tile.m) * ceil_div(n, tile.n);
    if (tiles <= 0) return 0;
    const TilePace pace = pace_of(curve, tile, loads_factor);
    const double loading = over(loads_factor * tiles * loads_of(curve, tile) * static_cast<double>(k), curve.chip_load);
    for (std::int64_t split = 1; split <= curve.max_split; split *= 2) {
      const double z = static_cast<double>(split);
      if (split > 1 && tiles * z > kSplitWaves * sms) break;
      const double part = static_cast<double>(k) / z, share = tiles * z / sms, waves = effective_waves(share, curve.wave_smoothing);
      const double adding = split > 1 ? curve.split_cost.value() + 8.0 * z * elements / curve.memory_rate.value() : 0.0;
      if (loading + adding >= best) continue;
      const double items = waves * curve.correction.factor(std::min(share, waves), part) * (pace.once + pace.per_k * part);
      best = std::min(best, soft_max(items, loading) + adding);
    }
  }
  return best;
}

// Groups of a weight gradient: C is k x n for each, group g reduces over its own m_g tokens.
double grouped_weight_gradient_seconds(const GemmCurve& curve, const GroupedGemm& gemm, double sms) {
  double best = std::numeric_limits<double>::infinity();
  for (const auto& tile : curve.tiles) {
    const double tiles = ceil_div(gemm.k, tile.m) * ceil_div(gemm.n, tile.n);
    double total = 0, longest = 0;
    for (const auto tokens : gemm.m) {
      if (tokens == 0) continue;
      const double one = tile_seconds(curve, tile, static_cast<double>(tokens)) * curve.correction.factor(1.0, static_cast<double>(tokens));
      total += tiles * one;
      longest = std::max(longest, one);
    }
    best = std::min(best, std::max(total / sms, longest) + (1.0 - curve.wave_smoothing) * 0.5 * longest);
  }
  return best;
}

// Scale of a kernel that is not asked to do anything.
bool nothing_to_do(const GroupedGemm& gemm) {
  return gemm.n == 0 || gemm.k == 0 || std::all_of(gemm.m.begin(), gemm.m.end(), [](auto m) { return m == 0; });
}

}  // namespace

TilePace pace_of(const GemmCurve& curve, const GemmTile& tile, double loads_factor) {
  const double elements = static_cast<double>(tile.m * tile.n);
  const double result = curve.accumulate_fp32 ? 8.0 : 2.0;
  return {curve.tile_overhead.value() + over(elements * result, curve.sm_store),
          soft_max(2.0 * elements / (curve.sm_rate.value() * tile.efficiency), over(loads_factor * loads_of(curve, tile), curve.sm_load))};
}

double effective_waves(double items_per_sm, double smoothing) {
  if (items_per_sm <= 1.0) return 1.0;
  return (1.0 - smoothing) * std::ceil(items_per_sm) + smoothing * items_per_sm;
}

double GemmCorrection::factor(double fill, double k) const {
  if (ln_factor.empty()) return 1.0;
  const Cell row = find_cell(ln_fill, std::log(fill)), column = find_cell(ln_k, std::log(std::max(k, 1.0)));
  const auto at = [&](std::size_t i, std::size_t j) {
    return ln_factor[std::min(i, ln_fill.size() - 1) * ln_k.size() + std::min(j, ln_k.size() - 1)];
  };
  const double low = at(row.index, column.index) * (1 - column.fraction) + at(row.index, column.index + 1) * column.fraction;
  const double high = at(row.index + 1, column.index) * (1 - column.fraction) + at(row.index + 1, column.index + 1) * column.fraction;
  return std::exp(low * (1 - row.fraction) + high * row.fraction);
}

Seconds evaluate(const GemmCurve& curve, const Gemm& gemm, double sms) {
  CHECK(sms > 0 && !curve.tiles.empty());
  if (gemm.m == 0 || gemm.n == 0 || gemm.k == 0) return Seconds{};
  const double compute = compute_seconds(curve, {gemm.m}, gemm.n, gemm.k, sms, loads_factor(curve, gemm));
  const double bytes = gemm_bytes(curve, static_cast<double>(gemm.m), static_cast<double>(gemm.n), static_cast<double>(gemm.k));
  return curve.info.scale * (curve.launch + Seconds{soft_max(compute, bytes / curve.memory_rate.value())});
}

Seconds evaluate(const GemmCurve& curve, const GroupedGemm& gemm, double sms) {
  CHECK(sms > 0 && !curve.tiles.empty());
  if (nothing_to_do(gemm)) return Seconds{};
  const bool weight_gradient = gemm.layout == GemmLayout::weight_gradient;
  if (curve.one_by_one) {
    Seconds sum;
    for (const auto tokens : gemm.m) {
      const Gemm one = weight_gradient ? Gemm{gemm.dtype, gemm.k, gemm.n, tokens} : Gemm{gemm.dtype, tokens, gemm.n, gemm.k};
      sum += evaluate(curve, one, sms);
    }
    return sum;
  }
  double bytes = 0;
  for (const auto tokens : gemm.m) {
    if (tokens == 0) continue;
    const double t = static_cast<double>(tokens), n = static_cast<double>(gemm.n), k = static_cast<double>(gemm.k);
    bytes += weight_gradient ? gemm_bytes(curve, k, n, t) : gemm_bytes(curve, t, n, k);
  }
  const double compute =
      weight_gradient ? grouped_weight_gradient_seconds(curve, gemm, sms) : compute_seconds(curve, gemm.m, gemm.n, gemm.k, sms);
  return curve.info.scale * (curve.launch + Seconds{soft_max(compute, bytes / curve.memory_rate.value())});
}

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
  const double columns = static_cast<double>(step) * ceil_div(forward ? a.keys : a.queries, step);
  const double qk = static_cast<double>(a.qk_dim), v = static_cast<double>(a.v_dim);
  const double unit = 2.0 * static_cast<double>(rows) * (forward ? qk + v : 3 * qk + 2 * v) / curve.sm_rate.value();

  AttentionWork work;
  work.items = ceil_div(forward ? a.queries : a.keys, rows);
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

double log2_at_least_0(double n) { return n > 1 ? std::log2(n) : 0.0; }

}  // namespace

Seconds evaluate(const AttentionCurve& curve, const Attention& a, double sms) {
  CHECK(sms > 0);
  if (a.batch * a.heads == 0 || a.queries == 0 || a.keys == 0) return Seconds{};
  const AttentionWork work = attention_work(curve, a);
  const double heads = static_cast<double>(a.batch * a.heads);
  const double compute = a.causal ? std::max(heads * work.total / sms, work.longest) + curve.tail * work.longest
                                  : effective_waves(heads * work.items / sms, curve.wave_smoothing) * work.longest;
  const double memory = attention_bytes(a) / curve.memory_rate.value();
  const double alone = curve.launch.value() + (a.direction == Direction::backward ? compute + memory : std::max(compute, memory));
  const double length = std::clamp(std::log(alone / 1e-3) / std::log(30.0), 0.0, 1.0);
  return curve.info.scale * Seconds{alone * std::exp(curve.throttle * length)};
}

Seconds evaluate(const MemoryCurve& curve, const MemoryBound& kernel, double sms) {
  CHECK(sms > 0);
  const double bytes = (kernel.read + kernel.written).value();
  if (bytes <= 0) return Seconds{};
  double fewer = 1;
  if (curve.chip_sms > 0) fewer = std::max(fewer, std::pow(static_cast<double>(curve.chip_sms) / sms, curve.sm_exponent));
  if (curve.sm_rate.value() > 0) fewer = std::max(fewer, curve.rate.value() / (sms * curve.sm_rate.value()));
  double time = curve.launch.value() + bytes / curve.rate.value();
  if (curve.bytes.size() >= 2) {
    if (bytes >= curve.bytes.back()) {
      time = curve.seconds.back() + (bytes - curve.bytes.back()) / curve.rate.value();
    } else {
      const Cell cell = find_cell(curve.bytes, bytes);
      const std::size_t i = cell.index;
      const double along =
          bytes <= curve.bytes.front() ? 0.0 : std::log(bytes / curve.bytes[i]) / std::log(curve.bytes[i + 1] / curve.bytes[i]);
      time = curve.seconds[i] * std::pow(curve.seconds[i + 1] / curve.seconds[i], along);
    }
  }
  const double launch = std::min(time, curve.launch.value());
  return curve.info.scale * Seconds{launch + (time - launch) * fewer};
}

namespace {

double transfer(const CollectiveCurve& curve, double wire_seconds) {
  return wire_seconds + 2.0 * std::sqrt(wire_seconds * curve.pipeline.value());
}

// Ranks of the group and how they lie over the nodes.
struct GroupShape {
  double n, g, nodes;
};

GroupShape group_shape(const Collective& c) {
  const auto per_node = std::clamp<std::int64_t>(c.ranks_per_node, 1, c.ranks);
  return {static_cast<double>(c.ranks), static_cast<double>(per_node), ceil_div(c.ranks, per_node)};
}

double ring_rate(const GroupShape& s, const GroupLinks& links) {
  const double wide = s.g * links.nic.value();
  if (s.nodes <= 1) return links.nvlink.value();
  return s.g > 1 ? std::min(links.nvlink.value(), wide) : wide;
}

double all_reduce_seconds(const CollectiveCurve& c, const GroupShape& s, double bytes, const GroupLinks& links) {
  const double nv = c.nvlink_step.value(), nic = c.nic_step.value(), rate = ring_rate(s, links);
  const double between = 2 * (s.nodes - 1);
  const double ring = (2 * (s.n - 1) - between) * nv + between * nic + transfer(c, 2 * (s.n - 1) / s.n * bytes / rate);
  const double tree = 2 * ((s.g - 1) * nv + log2_at_least_0(s.nodes) * nic) + transfer(c, 2 * bytes / (0.92 * rate));
  return s.nodes > 1 ? std::min(ring, tree) : ring;
}

double gather_seconds(const CollectiveCurve& c, const GroupShape& s, double bytes, const GroupLinks& links) {
  const double wire = (s.n - 1) / s.n * bytes / ring_rate(s, links);
  const double ring = (s.n - s.nodes) * c.nvlink_step.value() + (s.nodes - 1) * c.nic_step.value() + transfer(c, wire);
  if (s.g > 1 || s.nodes <= 1) return ring;
  return std::min(ring, log2_at_least_0(s.nodes) * c.nic_step.value() + transfer(c, wire / 0.75));
}

double all_to_all_seconds(const CollectiveCurve& c, const GroupShape& s, double bytes, const GroupLinks& links) {
  const double near = (s.g - 1) / s.n * bytes / links.nvlink.value();
  const double far = s.nodes > 1 ? (s.n - s.g) / s.n * bytes / links.nic.value() : 0.0;
  return (s.g - 1) * c.nvlink_step.value() + (s.n - s.g) * c.nic_step.value() + transfer(c, std::max(near, far));
}

double broadcast_seconds(const CollectiveCurve& c, const GroupShape& s, double bytes, const GroupLinks& links) {
  const double nv = c.nvlink_step.value(), nic = c.nic_step.value();
  const double steps = std::min((s.n - s.nodes) * nv + (s.nodes - 1) * nic, (s.g - 1) * nv + log2_at_least_0(s.nodes) * nic);
  return steps + transfer(c, bytes / ring_rate(s, links));
}

double send_seconds(const CollectiveCurve& c, const GroupShape& s, double bytes, const GroupLinks& links) {
  const bool near = s.nodes <= 1;
  const double rate = near ? links.nvlink.value() : links.nic.value();
  return (near ? c.nvlink_step : c.nic_step).value() + transfer(c, bytes / rate);
}

// What a rank moves for itself, in bytes.
double own_bytes(CollectiveKind kind, const GroupShape& s, double bytes) {
  if (s.nodes > 1) return 0;
  switch (kind) {
    case CollectiveKind::all_reduce: return bytes;
    case CollectiveKind::all_gather:
    case CollectiveKind::reduce_scatter:
    case CollectiveKind::all_to_all: return bytes / s.n;
    default: return 0;
  }
}

double closed_form(const CollectiveCurve& curve, const Collective& c, const GroupLinks& links) {
  const GroupShape s = group_shape(c);
  const double bytes = c.bytes.value();
  double time = 0;
  switch (c.kind) {
    case CollectiveKind::all_reduce: time = all_reduce_seconds(curve, s, bytes, links); break;
    case CollectiveKind::all_gather:
    case CollectiveKind::reduce_scatter: time = gather_seconds(curve, s, bytes, links); break;
    case CollectiveKind::all_to_all: time = all_to_all_seconds(curve, s, bytes, links); break;
    case CollectiveKind::send_recv: time = send_seconds(curve, s, bytes, links); break;
    case CollectiveKind::broadcast: time = broadcast_seconds(curve, s, bytes, links); break;
    case CollectiveKind::expert_dispatch:
    case CollectiveKind::expert_combine: CHECK(false, "an expert collective has an ExpertCurve");
  }
  const double local = curve.local.value() > 0 ? own_bytes(c.kind, s, bytes) / curve.local.value() : 0.0;
  return curve.base.value() + time + local;
}

// Log-log between knots. REQUIRES: bytes between the first and the last knot, at least two.
double along_knots(const CollectiveKnots& knots, double bytes) {
  const Cell cell = find_cell(knots.bytes, bytes);
  const std::size_t i = cell.index;
  const double along = std::log(bytes / knots.bytes[i]) / std::log(knots.bytes[i + 1] / knots.bytes[i]);
  return knots.seconds[i] * std::pow(knots.seconds[i + 1] / knots.seconds[i], along);
}

// Measured over closed form, at the nearest measured group size.
double measured_ratio(const CollectiveCurve& curve, const Collective& c) {
  const auto distance = [&](const CollectiveKnots& k) {
    return std::abs(std::log(static_cast<double>(k.ranks) / static_cast<double>(c.ranks)));
  };
  const auto knots =
      std::min_element(curve.knots.begin(), curve.knots.end(), [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
  Collective measured = c;
  measured.ranks = measured.ranks_per_node = knots->ranks;
  measured.bytes = Bytes{std::clamp(c.bytes.value(), knots->bytes.front(), knots->bytes.back())};
  return along_knots(*knots, measured.bytes.value()) / closed_form(curve, measured, {curve.nvlink, curve.nic});
}

}  // namespace

namespace {

bool is_ring(CollectiveKind kind) {
  return kind == CollectiveKind::all_reduce || kind == CollectiveKind::all_gather || kind == CollectiveKind::reduce_scatter;
}

double seconds_with(NcclProtocol protocol, const CollectiveCurve& curve, const Collective& c, const GroupLinks& links) {
  if (protocol == NcclProtocol::simple) return closed_form(curve, c, links);
  return nccl_estimate(protocol, c.kind, c.bytes, c.ranks, links.nccl).value();
}

// Measured over `seconds_with`, where a measured group took the protocol: the group nearest in size, the bytes nearest to the call's.
// 1 where none did.
double protocol_ratio(NcclProtocol protocol, const CollectiveCurve& curve, const Collective& c, const GroupLinks& links) {
  double nearest = std::numeric_limits<double>::infinity(), ratio = 1;
  for (const CollectiveKnots& knots : curve.knots) {
    Collective measured = c;
    measured.ranks = measured.ranks_per_node = knots.ranks;
    for (const double bytes : knots.bytes) {
      if (nccl_protocol(c.kind, Bytes{bytes}, knots.ranks, links.nccl) != protocol) continue;
      const double ranks_apart = std::abs(std::log(static_cast<double>(knots.ranks) / static_cast<double>(c.ranks)));
      const double apart = 100 * ranks_apart + std::abs(std::log(bytes / c.bytes.value()));
      if (apart >= nearest) continue;
      nearest = apart;
      measured.bytes = Bytes{bytes};
      ratio = along_knots(knots, bytes) / seconds_with(protocol, curve, measured, {curve.nvlink, curve.nic, links.nccl});
    }
  }
  return ratio;
}

bool was_measured(const CollectiveCurve& curve, std::int64_t ranks) {
  return std::any_of(curve.knots.begin(), curve.knots.end(), [&](const CollectiveKnots& k) { return k.ranks == ranks; });
}

}  // namespace

Seconds evaluate(const CollectiveCurve& curve, const Collective& c, const GroupLinks& links) {
  if (c.ranks <= 1) return Seconds{};
  const bool one_node = c.ranks_per_node >= c.ranks, by_protocol = links.nccl.known() && is_ring(c.kind) && c.bytes.value() > 0;
  if (one_node && by_protocol && !curve.knots.empty() && !was_measured(curve, c.ranks)) {
    const NcclProtocol protocol = nccl_protocol(c.kind, c.bytes, c.ranks, links.nccl);
    return curve.info.scale * Seconds{seconds_with(protocol, curve, c, links) * protocol_ratio(protocol, curve, c, links)};
  }
  const double ratio = one_node && !curve.knots.empty() ? measured_ratio(curve, c) : 1.0;
  return curve.info.scale * Seconds{closed_form(curve, c, links) * ratio};
}

Seconds evaluate(const ExpertCurve& curve, const Collective& c, const GroupLinks& links) {
  if (c.ranks <= 1 && c.scale_up_bytes.value() <= 0) return Seconds{};
  const double far = c.bytes.value() > 0 ? c.bytes.value() / links.nic.value() : 0.0;
  const double near = c.scale_up_bytes.value() > 0 ? c.scale_up_bytes.value() / links.nvlink.value() : 0.0;
  return curve.info.scale * (curve.latency + Seconds{std::max(far, near)});
}

}  // namespace trillion
