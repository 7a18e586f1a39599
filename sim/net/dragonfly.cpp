#include "sim/net/dragonfly.h"

#include <algorithm>

#include "sim/base/rounding.h"

namespace trillion {

namespace {}  // namespace

std::int64_t Dragonfly::gateway(std::int64_t from, std::int64_t to, std::int64_t cable) const {
  const std::int64_t away = (to - from - 1 + groups) % groups;
  return from * routers_per_group + (away * global_per_pair + cable) / global_per_router;
}

DragonflySizing size_dragonfly(const Cluster& cluster) {
  DragonflySizing result;
  const ScaleOut& out = cluster.scale_out;
  if (out.nics_per_node == 0) {
    if (cluster.gpus() > cluster.scale_up.domain_gpus)
      result.misfits.emplace_back("scale_out.nics_per_node is 0, but NVLink does not reach every GPU");
    return result;
  }
  const std::int64_t quarter = out.switch_ports / 4;
  const std::int64_t links_per_node = std::min(out.nics_per_node, cluster.gpus_per_node);
  const std::int64_t cables_per_nic = out.nics_per_node / links_per_node;
  Dragonfly& d = result.dragonfly;
  d.nics_per_router = quarter / cables_per_nic;
  d.global_per_router = quarter;
  if (d.nics_per_router == 0) {
    result.misfits.push_back("a dragonfly's router uses a quarter of its ports for NICs; of " + std::to_string(out.switch_ports) +
                             " ports that is " + std::to_string(quarter) + ", one NIC link needs " + std::to_string(cables_per_nic));
    return result;
  }
  const std::int64_t routers = divided_up(cluster.nodes * links_per_node, d.nics_per_router);
  d.routers_per_group = std::min(2 * quarter, routers);
  d.groups = divided_up(routers, d.routers_per_group);
  const std::int64_t most = d.routers_per_group * d.global_per_router + 1;
  if (d.groups > most) {
    result.misfits.push_back("a dragonfly of " + std::to_string(out.switch_ports) + "-port routers has " + std::to_string(most) +
                             " groups for " + std::to_string(most * d.routers_per_group * d.nics_per_router / links_per_node) +
                             " nodes, the cluster has " + std::to_string(cluster.nodes) + "; routers with more ports would hold more");
    return result;
  }
  if (d.groups > 1) d.global_per_pair = d.routers_per_group * d.global_per_router / (d.groups - 1);
  return result;
}

}  // namespace trillion
