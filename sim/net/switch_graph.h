// What failures leave of a network: the switches and the whole links between them, as a graph (Boost.Graph). It answers what
// arithmetic cannot: the way around what is broken, and who is cut off.
//
// A way around may leave by the NIC of another GPU of the sender's scale-up domain and arrive at one of the receiver's, each
// costing a hop over NVLink. Fewest switches first, then the fewest such hops, then the own NIC; equal ways are picked by a hash.
// Unlike routes of a whole tree it may go up and down more than once.
//
// Cost of a detour: a breadth-first search of the switches for each leaf of the receiver's domain, 0.1 ms for 2048 GPUs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace trillion {

class Fabric;

struct Detour {
  std::int64_t sender = 0, receiver = 0;  // GPUs whose NICs are used
  std::vector<std::uint32_t> links;       // between switches, in the order of travel
};

class SwitchGraph {
 public:
  explicit SwitchGraph(const Fabric& fabric);
  ~SwitchGraph();

  // REQUIRES: cut_off() is empty; a and b lie in different scale-up domains.
  Detour detour(const Fabric& fabric, std::int64_t a, std::int64_t b, std::uint64_t hash) const;

  // What is separated from the largest part of the cluster, in words; empty: nothing.
  std::string cut_off(const Fabric& fabric, std::int64_t gpus_per_node) const;

 private:
  struct Graph;
  std::unique_ptr<Graph> graph_;
};

}  // namespace trillion
