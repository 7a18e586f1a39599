// Clusters for the tests of this room: small enough to work out by hand.
#pragma once

#include "sim/spec/cluster.h"

namespace trillion {

// Nodes of 4 GPUs and 4 NICs of 50 GB/s, 8-port switches in two layers with rails: a leaf holds the NICs of 4 nodes on one rail.
inline Cluster small_cluster(std::int64_t nodes) {
  Cluster c;
  c.name = "test";
  c.nodes = nodes;
  c.gpus_per_node = 4;
  c.scale_up = {4, BytesPerSecond{400e9}, Seconds{3e-6}, {}};
  c.scale_out.nics_per_node = 4;
  c.scale_out.nic_bandwidth = BytesPerSecond{50e9};
  c.scale_out.switch_ports = 8;
  c.scale_out.nic_latency = Seconds{2e-6};
  c.scale_out.hop_latency = Seconds{0.5e-6};
  return c;
}

// Nodes of 2 GPUs and 2 NICs on 8-port routers: 2 NICs and 2 global cables a router, 4 routers and 8 NICs a group, up to 9 groups.
inline Cluster dragonfly_cluster(std::int64_t nodes) {
  Cluster c = small_cluster(nodes);
  c.gpus_per_node = 2;
  c.scale_up.domain_gpus = 2;
  c.scale_out.nics_per_node = 2;
  c.scale_out.kind = FabricKind::dragonfly;
  c.scale_out.rails = false;
  c.scale_out.layers = 1;
  return c;
}

}  // namespace trillion
