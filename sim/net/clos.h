// How many switches a scale-out network has and how they are cabled: a folded Clos ("fat tree") of one, two or three layers.
//
//   leaf   `down` ports to NICs, `up` to spines, so that down / up is the oversubscription (64 ports: 32 and 32)
//   spine  two layers: all ports to leaves; three layers: half to the leaves of its pod, half to cores
//   core   all ports to spines, one or more to every pod; a pod holds whole groups of rails. With core_oversubscription a spine
//          leaves some of its upper ports unused
//
// Every switch of a layer is cabled alike, with several cables to one neighbour where the tree is not full; those count as one
// link of their joint capacity. As few switches are used as reach everything: the smallest divisor of the ports that fits.
//
//   rails       leaves are per rail: NIC r of `down` nodes in a row hang on one leaf; the spines join all rails
//   planes      ... and the rails are dealt to trees side by side: NIC r of a node is in tree r mod planes, and the only way to
//               another tree is NVLink within a node. As many planes as rails is rail-only, and DeepSeek's multi-plane network
//   no rails    all NICs of a node hang on one leaf
//
// Sources: Al-Fares et al., "A scalable, commodity data center network architecture" (SIGCOMM 2008); Wang et al., "Rail-only"
// (arXiv:2307.12169); Zhao et al., "Insights into DeepSeek-V3" (ISCA 2025), table 3: 64 ports, two layers, 2048 NICs, 96 switches.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/spec/cluster.h"

namespace trillion {

// Counts are per plane unless they say otherwise.
struct Clos {
  std::int64_t rails = 0;           // NIC links per node; two GPUs may share one, and a GPU may have several NICs in one
  std::int64_t cables_per_nic = 1;  // NICs that make one NIC link
  std::int64_t planes = 1;
  std::int64_t nodes_per_leaf = 0;
  std::int64_t leaves = 0;
  std::int64_t leaves_per_pod = 0;
  std::int64_t spines_per_pod = 0;     // each reaches every leaf of the pod; 0: there are no spines
  std::int64_t cables_leaf_spine = 0;  // between one leaf and one spine
  std::int64_t pods = 1;
  std::int64_t cores_per_spine = 0;  // spine number u of every pod reaches the same ones; 0: there are no cores
  std::int64_t cables_spine_core = 0;
  bool leaves_joined = false;  // leaves of a pod reach each other
  bool per_rail_leaves = true;

  std::int64_t switches() const { return planes * (leaves + pods * spines_per_pod + spines_per_pod * cores_per_spine); }
};

struct ClosSizing {
  Clos clos;
  std::vector<std::string> misfits;  // why the cluster does not fit its switches and what would; empty when it does
};

// REQUIRES: cluster.validate() is empty.
ClosSizing size_clos(const Cluster& cluster);

}  // namespace trillion
