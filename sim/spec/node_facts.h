// What a machine itself says about one node of a cluster, read from a dump of its tools, for `from:` in a topology file:
//
//   NCCL_TOPO_DUMP_FILE=node.xml   any NCCL program writes it (spec/nccl_topology.h); the richer one
//   nvidia-smi topo -m > node.txt  no speeds (spec/smi_topology.h)
//
// Which of the two a file is, its contents say. Prices, power, switches and the number of nodes are in neither.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/base/quantity.h"

namespace trillion {

struct NodeFacts {
  std::int64_t gpus_per_node = 0;
  std::int64_t domain_gpus = 1;         // GPUs that reach each other over NVLink
  std::int64_t nvlinks = 0;             // of one GPU
  std::int64_t compute_capability = 0;  // 90 for Hopper; 0: the dump does not say
  BytesPerSecond host_bandwidth;        // of one GPU, one way; 0: not said
  std::int64_t nics_per_node = 0;       // that serve GPUs
  BytesPerSecond nic_bandwidth;         // of each; 0: not said
  std::vector<std::string> left_out;    // "mlx5_8: 100 Gbps, the others have 400 Gbps"
};

// Throws InputError, with file:line:column: not a dump of either kind, or one that says nothing usable.
NodeFacts read_node_facts(const std::string& path);
NodeFacts node_facts_of(const std::string& text, const std::string& path);
bool is_node_dump(const std::string& text);

// One way, of one NVLink. Vendor figures: 25 GB/s of NVLink 2 to 4 (compute capability 70 to 90), 50 GB/s of NVLink 5 (100 and later).
BytesPerSecond nvlink_rate(std::int64_t compute_capability);
// 70, 80, 90, 100 by words of a GPU's name; 0: no such word.
std::int64_t compute_capability_of(const std::string& gpu_name);

// As keys of a topology file. `gpu_name` settles what the dump leaves open. Throws InputError where neither tells how fast NVLink is.
std::string topology_text(const NodeFacts& facts, const std::string& path, const std::string& gpu_name);

}  // namespace trillion
