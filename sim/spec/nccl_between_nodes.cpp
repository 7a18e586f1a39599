#include "sim/spec/nccl_between_nodes.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace trillion {

namespace {

// Seconds, but for the share.
struct StepRow {
  double ring_start, ring_step, ring_hop, ring_share;
  double tree_start, tree_step, tree_hop, tree_share;
};
// A step within a node takes at least what the host needs to post its neighbour's message: 1 us, three times for Simple.
constexpr std::array<StepRow, 3> kRows = {{{6.6e-6, 1.0e-6, 2.7e-6, 0.5, 6.8e-6, 0.6e-6, 5.0e-6, 0.92 / 3.8},
                                           {14.0e-6, 1.9e-6, 4.0e-6, 0.92, 14.0e-6, 1.25e-6, 8.5e-6, 0.92 * 120 / 128},
                                           {8.4e-6, 3.4e-6, 14.0e-6, 1, 8.4e-6, 4.0e-6, 14.0e-6, 0.92}}};
constexpr double kPlateau = 1.4;  // of a ring all-reduce's latency with Simple
constexpr double kLlTwoNodes = 39e9, kLlMoreNodes = 20.4e9;

// What trees reach of their rate, by the power of two of 64-byte lines.
constexpr std::array<std::array<double, 24>, 3> kTreeReaches = {
    {{1, 1, 1, 1, .9, .8, .7, .7, .7, .7, .6, .5, .4, .4, .5, .6, .7, .8, .9, 1, 1, 1, 1, 1},
     {1, 1, 1, 1, 1, .9, .8, .8, .8, .7, .6, .6, .6, .6, .6, .6, .8, .9, .9, .9, .9, 1, 1, 1},
     {.9, .9, .9, .9, .9, .9, .9, .8, .7, .6, .6, .5, .5, .5, .5, .6, .7, .8, .7, .7, .8, .9, .9, .9}}};

// The table is one of steps; between its entries it is taken as straight.
double tree_reaches(NcclProtocol protocol, double bytes) {
  const auto& row = kTreeReaches[static_cast<std::size_t>(protocol)];
  const double place = std::log2(std::max(1.0, bytes / 64));
  if (place >= static_cast<double>(row.size() - 1)) return 1;
  const auto i = static_cast<std::size_t>(place);
  return row[i] + (place - static_cast<double>(i)) * (row[i + 1] - row[i]);
}

struct Span {
  double n, g, nodes, hops;  // hops: of a tree, up or down
  double bytes;
  bool all_reduce;
};

double limited(NcclProtocol protocol, double rate, const Span& s) {
  return protocol == NcclProtocol::ll ? std::min(rate, s.nodes <= 2 ? kLlTwoNodes : kLlMoreNodes) : rate;
}

double ring_seconds(NcclProtocol protocol, const Span& s, const NodeGroup& group) {
  const StepRow& row = kRows[static_cast<std::size_t>(protocol)];
  const double rounds = s.all_reduce ? 2 : 1, between = rounds * (s.nodes - 1), steps = rounds * (s.n - 1);
  const double hop = s.g > 1 ? row.ring_hop : row.tree_hop;
  double latency = row.ring_start + (steps - between) * row.ring_step + between * hop;
  if (s.all_reduce && protocol == NcclProtocol::simple) latency *= kPlateau;
  const double rate = s.g > 1 ? std::min(group.nvlink.value(), group.nics.value()) : group.nics.value();
  return latency + steps / s.n * s.bytes / limited(protocol, row.ring_share * rate, s);
}

// Each way over a node's NICs: between two nodes one half of the trees is the other's way back.
double tree_bytes(const Span& s, bool pairs_halve) { return (s.nodes <= 2 && pairs_halve ? 1 : 2) * s.bytes; }

double tree_seconds(NcclProtocol protocol, const Span& s, const NodeGroup& group) {
  const StepRow& row = kRows[static_cast<std::size_t>(protocol)];
  const double latency = row.tree_start + 2 * ((s.g - 1) * row.tree_step + s.hops * row.tree_hop);
  const double reached = s.g > 1 ? tree_reaches(protocol, s.bytes) : 1;
  const auto seconds = [&](double bytes, double rate) { return bytes / limited(protocol, row.tree_share * rate * reached, s); };
  const double near = s.g > 1 ? seconds(2 * s.bytes, group.nvlink.value()) : 0;
  return latency + std::max(near, seconds(tree_bytes(s, s.g <= 1), group.nics.value()));
}

double pat_seconds(const Span& s, const NodeGroup& group) {
  return 8e-6 + s.hops * 4e-6 + 2.8e-6 * s.n + (s.n - 1) / s.n * s.bytes / (0.75 * group.nics.value());
}

double nvls_tree_seconds(const Span& s, const NodeGroup& group, const NcclLinks& links) {
  const double part = std::min(links.nvls_part.value(), links.bus.value() / (s.g + 1));
  const double near = s.bytes / (part * s.g * links.nvls_share);
  const double bus = s.g * (s.nodes > 2 ? links.nvls_tree_many : links.nvls_tree_pair).value();
  const double channels = 2 * (s.n - 1) / s.n * s.bytes / bus;
  return 25e-6 + 2 * s.hops * 20.9e-6 + std::max({near, channels, tree_bytes(s, true) / group.nics.value()});
}

Span extent_of(CollectiveKind kind, Bytes bytes, const NodeGroup& group) {
  Span s{};
  s.n = static_cast<double>(group.ranks);
  s.g = static_cast<double>(std::max<std::int64_t>(1, group.ranks_per_node));
  s.nodes = std::ceil(s.n / s.g);
  s.hops = std::log2(s.nodes);
  s.bytes = bytes.value();
  s.all_reduce = kind == CollectiveKind::all_reduce;
  return s;
}

// `seconds(protocol)`, the least.
template <class SecondsOf>
NcclChoice best_protocol(NcclAlgorithm algorithm, const SecondsOf& seconds) {
  NcclChoice best{algorithm, NcclProtocol::simple, Seconds{seconds(NcclProtocol::simple)}};
  for (const NcclProtocol p : {NcclProtocol::ll, NcclProtocol::ll128}) {
    if (const Seconds time{seconds(p)}; time < best.time) best.protocol = p, best.time = time;
  }
  return best;
}

}  // namespace

std::optional<NcclChoice> nccl_between_nodes(NcclAlgorithm algorithm, CollectiveKind kind, Bytes bytes, const NodeGroup& group,
                                             const NcclLinks& links) {
  const Span s = extent_of(kind, bytes, group);
  switch (algorithm) {
    case NcclAlgorithm::ring: return best_protocol(algorithm, [&](NcclProtocol p) { return ring_seconds(p, s, group); });
    case NcclAlgorithm::tree:
      if (!s.all_reduce) return std::nullopt;
      return best_protocol(algorithm, [&](NcclProtocol p) { return tree_seconds(p, s, group); });
    case NcclAlgorithm::pat:
      if (s.all_reduce || s.g > 1) return std::nullopt;
      return NcclChoice{algorithm, NcclProtocol::simple, Seconds{pat_seconds(s, group)}};
    case NcclAlgorithm::nvls_tree:
      if (!s.all_reduce || s.g <= 1 || links.nvls_share <= 0) return std::nullopt;
      return NcclChoice{algorithm, NcclProtocol::simple, Seconds{nvls_tree_seconds(s, group, links)}};
  }
  return std::nullopt;
}

NcclChoice nccl_between_nodes(CollectiveKind kind, Bytes bytes, const NodeGroup& group, const NcclLinks& links) {
  NcclChoice best = *nccl_between_nodes(NcclAlgorithm::ring, kind, bytes, group, links);
  for (const NcclAlgorithm a : {NcclAlgorithm::tree, NcclAlgorithm::pat, NcclAlgorithm::nvls_tree}) {
    if (const auto other = nccl_between_nodes(a, kind, bytes, group, links); other && other->time < best.time) best = *other;
  }
  return best;
}

}  // namespace trillion
