#pragma once

#include "sim/spec/cluster.h"

namespace trillion::testing_support {

// 256 nodes of eight GPUs, each with a NIC of its own. `nvlink`: one GPU's, one way.
inline Cluster deepseek_network(BytesPerSecond nvlink) {
  Cluster c;
  c.nodes = 256;
  c.gpus_per_node = 8;
  c.scale_up = {8, nvlink, Seconds{3e-6}, {}};
  c.scale_out.nics_per_node = 8;
  c.scale_out.nic_bandwidth = BytesPerSecond{50e9};
  return c;
}

}  // namespace trillion::testing_support
