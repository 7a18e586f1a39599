#include "sim/spec/collective_curve.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "sim/base/error.h"
#include "sim/base/rounding.h"
#include "sim/spec/knots.h"
#include "sim/spec/nccl_between_nodes.h"

namespace trillion {
namespace {

double log2_at_least_0(double n) { return n > 1 ? std::log2(n) : 0.0; }

double transfer(const CollectiveCurve& curve, double wire_seconds) {
  return wire_seconds + 2.0 * std::sqrt(wire_seconds * curve.pipeline.value());
}

// Ranks of the group and how they lie over the nodes.
struct GroupShape {
  double n, g, nodes;
};

GroupShape group_shape(const Collective& c) {
  const auto per_node = std::clamp<std::int64_t>(c.ranks_per_node, 1, c.ranks);
  return {static_cast<double>(c.ranks), static_cast<double>(per_node), pieces(c.ranks, per_node)};
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

// REQUIRES: some knots.
const CollectiveKnots& nearest_group(const std::vector<CollectiveKnots>& knots, std::int64_t ranks) {
  const auto distance = [&](const CollectiveKnots& k) {
    return std::abs(std::log(static_cast<double>(k.ranks) / static_cast<double>(ranks)));
  };
  return *std::min_element(knots.begin(), knots.end(), [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
}

double within(const CollectiveKnots& knots, Bytes bytes) { return std::clamp(bytes.value(), knots.bytes.front(), knots.bytes.back()); }

// Measured over closed form, at the nearest measured group size.
double measured_ratio(const CollectiveCurve& curve, const Collective& c) {
  const CollectiveKnots& knots = nearest_group(curve.knots, c.ranks);
  Collective measured = c;
  measured.ranks = measured.ranks_per_node = knots.ranks;
  measured.bytes = Bytes{within(knots, c.bytes)};
  return along_knots(knots, measured.bytes.value()) / closed_form(curve, measured, {curve.nvlink, curve.nic});
}

// Of an all_reduce that the switch adds.
Seconds switch_seconds(const CollectiveCurve& curve, const Collective& c, const GroupLinks& links) {
  const Seconds time = nvls_seconds(c.bytes, c.ranks, links.nccl);
  if (curve.switch_knots.empty()) return time;
  const CollectiveKnots& knots = nearest_group(curve.switch_knots, c.ranks);
  const double bytes = within(knots, c.bytes);
  NcclLinks calibrated = links.nccl;
  calibrated.bus = links.nccl.bus * (curve.nvlink / links.nvlink);
  return time * (along_knots(knots, bytes) / nvls_seconds(Bytes{bytes}, knots.ranks, calibrated).value());
}

// All of the group's NICs on a node, and no more of NVLink than NCCL's own figure: `links.nvlink` is what endless messages would reach.
NcclChoice between_nodes(const Collective& c, const GroupLinks& links) {
  const std::int64_t per_node = std::clamp<std::int64_t>(c.ranks_per_node, 1, c.ranks);
  const NodeGroup group{c.ranks, per_node, std::min(links.nvlink, links.nccl.bus), links.nic * static_cast<double>(per_node)};
  return nccl_between_nodes(c.kind, c.bytes, group, links.nccl);
}

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
  if (!one_node && by_protocol) return curve.info.scale * between_nodes(c, links).time;
  if (one_node && by_protocol && takes_nvls(c.kind, c.bytes, c.ranks, links.nccl)) {
    return curve.info.scale * switch_seconds(curve, c, links);
  }
  if (one_node && by_protocol && !curve.knots.empty() && !was_measured(curve, c.ranks)) {
    const NcclProtocol protocol = nccl_protocol(c.kind, c.bytes, c.ranks, links.nccl);
    return curve.info.scale * Seconds{seconds_with(protocol, curve, c, links) * protocol_ratio(protocol, curve, c, links)};
  }
  const double ratio = one_node && !curve.knots.empty() ? measured_ratio(curve, c) : 1.0;
  return curve.info.scale * Seconds{closed_form(curve, c, links) * ratio};
}

std::string algorithm_of(const Collective& c, const GroupLinks& links) {
  if (c.ranks <= 1 || !links.nccl.known() || !is_ring(c.kind) || c.bytes.value() <= 0) return {};
  constexpr std::array kProtocols = {"LL", "LL128", "Simple"};
  const auto with = [&](const char* algorithm, NcclProtocol p) {
    return algorithm + std::string(" ") + kProtocols[static_cast<std::size_t>(p)];
  };
  if (c.ranks_per_node >= c.ranks) {
    if (takes_nvls(c.kind, c.bytes, c.ranks, links.nccl)) return "NVLS";
    return with("ring", nccl_protocol(c.kind, c.bytes, c.ranks, links.nccl));
  }
  const NcclChoice choice = between_nodes(c, links);
  switch (choice.algorithm) {
    case NcclAlgorithm::ring: return with("ring", choice.protocol);
    case NcclAlgorithm::tree: return with("tree", choice.protocol);
    case NcclAlgorithm::pat: return "PAT";
    case NcclAlgorithm::nvls_tree: return "NVLS tree";
  }
  return {};
}

Seconds evaluate(const ExpertCurve& curve, const Collective& c, const GroupLinks& links) {
  if (c.ranks <= 1 && c.scale_up_bytes.value() <= 0) return Seconds{};
  const double far = c.bytes.value() > 0 ? c.bytes.value() / links.nic.value() : 0.0;
  const double near = c.scale_up_bytes.value() > 0 ? c.scale_up_bytes.value() / links.nvlink.value() : 0.0;
  return curve.info.scale * (curve.latency + Seconds{std::max(far, near)});
}

}  // namespace trillion
