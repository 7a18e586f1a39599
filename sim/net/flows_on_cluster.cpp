#include "sim/net/flows_on_cluster.h"

#include <algorithm>
#include <vector>

namespace trillion {

namespace {

constexpr std::size_t kMostFlows = 4'000'000;

bool has_flows(CollectiveKind kind) {
  return kind == CollectiveKind::all_reduce || kind == CollectiveKind::all_gather || kind == CollectiveKind::reduce_scatter ||
         kind == CollectiveKind::all_to_all;
}

// Groups of `per_domain` GPUs in each of `domains` domains of `domain` GPUs.
struct Tiles {
  std::int64_t per_domain, domains, domain, side_by_side, rows;

  std::int64_t count() const { return side_by_side * rows; }
  CollectiveGroup group(std::int64_t number) const {
    CollectiveGroup group;
    group.per_domain = per_domain;
    const std::int64_t first_domain = number / side_by_side * domains, place = number % side_by_side * per_domain;
    for (std::int64_t d = 0; d < domains; ++d) {
      for (std::int64_t k = 0; k < per_domain; ++k) group.gpus.push_back((first_domain + d) * domain + place + k);
    }
    return group;
  }
};

void join(CollectiveFlows& all, const CollectiveFlows& more) {
  for (std::size_t phase = 0; phase < all.phases.size(); ++phase) {
    all.phases[phase].insert(all.phases[phase].end(), more.phases[phase].begin(), more.phases[phase].end());
  }
}

std::size_t flow_count(const CollectiveFlows& flows) {
  std::size_t most = 0;
  for (const auto& phase : flows.phases) most = std::max(most, phase.size());
  return most;
}

}  // namespace

std::variant<FlowTimes, std::string> flow_times(const Collective& c, CollectiveAlgorithm algorithm, const Cluster& cluster,
                                                const Fabric& fabric) {
  const std::int64_t domain = cluster.scale_up.domain_gpus, per_domain = std::clamp<std::int64_t>(c.ranks_per_node, 1, c.ranks);
  if (!has_flows(c.kind)) return "no flows of this kind";
  if (c.ranks < 2) return "one rank sends nothing";
  if (per_domain > domain) return std::to_string(per_domain) + " ranks a node, where NVLink joins " + std::to_string(domain) + " GPUs";
  if (c.ranks % per_domain != 0) return std::to_string(c.ranks) + " ranks are not whole nodes of " + std::to_string(per_domain);
  Tiles tiles{per_domain, c.ranks / per_domain, domain, domain / per_domain, 0};
  tiles.rows = cluster.gpus() / domain / tiles.domains;
  if (tiles.rows < 1) {
    return std::to_string(tiles.domains) + " nodes of ranks, where the cluster has " + std::to_string(cluster.gpus() / domain);
  }
  CollectiveFlows flows = flows_of(algorithm, c.kind, tiles.group(0), c.bytes);
  FlowTimes times{time_of(flows, fabric), {}, tiles.count()};
  if (flow_count(flows) * static_cast<std::size_t>(tiles.count()) > kMostFlows) return "more than four million flows at once";
  for (std::int64_t g = 1; g < tiles.count(); ++g) join(flows, flows_of(algorithm, c.kind, tiles.group(g), c.bytes));
  times.beside_others = time_of(flows, fabric);
  return times;
}

}  // namespace trillion
