// What links carry while many transfers run at once, and what that leaves to each. Collisions of ECMP, oversubscription, broken
// links and a dragonfly's few global cables all show here.
//
//   LinkLoad load(fabric);
//   for (...) load.add(a, b, bytes);                      // routed as the cluster says
//   load.busiest().time                                   // no schedule of these transfers can be faster
//
// nic_share is what Timing needs of it: by how much the switches between them slow the NICs of groups that communicate all at the
// same time, each GPU sending equally much:
//
//   nic_share = min(1, time of one GPU's bytes at its own part of its node's NICs / busiest().time over network links)
//
// 1 on a tree of full bisection with adaptive routing, whatever the groups; 1/7 where every pair crosses a layer of 7:1.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/net/fabric.h"

namespace trillion {

class LinkLoad {
 public:
  // The fabric must outlive it.
  explicit LinkLoad(const Fabric& fabric);

  void add(std::int64_t a, std::int64_t b, Bytes bytes);

  // REQUIRES: a link of the fabric. Of a run that adaptive routing fills evenly, every link has its part.
  Bytes on(std::uint32_t link) const;

  struct Busiest {
    std::uint32_t link = 0;
    Seconds time;  // its bytes / its capacity; 0: nothing was added
  };
  Busiest busiest() const { return busiest_from(0); }
  Busiest busiest_in_network() const;  // NVLink left out

 private:
  Busiest busiest_from(std::uint32_t first) const;

  const Fabric& fabric_;
  std::vector<double> bytes_;  // by link
  struct Run {
    std::uint32_t count = 0;
    double bytes = 0;
  };
  std::map<std::uint32_t, Run> runs_;  // by first link: what goes evenly over several
};

// Groups of `size` GPUs, `stride` apart, `per_domain` consecutive ones in each scale-up domain, that together are the cluster.
struct RegularGroups {
  std::int64_t size = 1, stride = 1, per_domain = 1;
};
enum class TrafficPattern {
  neighbours,  // to the same place in the next domain: rings, trees' edges, pipelines
  everyone     // to the same place in every other domain: exchanges
};
double nic_share(const Fabric& fabric, const RegularGroups& groups, TrafficPattern pattern);

}  // namespace trillion
