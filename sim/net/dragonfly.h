// How many routers a dragonfly has and how they are cabled (Kim, Dally, Scott, Abts, "Technology-driven, highly-scalable dragonfly
// topology", ISCA 2008). Routers stand in groups:
//
//   router  p NICs, one cable to every other router of its group, h global cables
//   group   a routers; its a h global cables go evenly to all other groups: with g groups, c = floor(a h / (g - 1)) to each
//
// Balanced for k ports: p = h = floor(k / 4), a = 2 p, up to a h + 1 groups. As few routers and groups are used as hold the NICs; with
// one group it is as large as it needs to be. NICs fill routers one after the other, so that those of a node are neighbours.
//
// A route takes at most one global cable: router, own group's router with the cable, other group's router, router. With c > 1 cables
// it may be any of them.
//
// Example: 64 ports are 16 NICs and 16 global cables a router, 32 routers and 512 NICs a group; 2048 NICs make 4 groups with
// 170 cables between any two.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/spec/cluster.h"

namespace trillion {

struct Dragonfly {
  std::int64_t nics_per_router = 0;  // NIC links
  std::int64_t routers_per_group = 0;
  std::int64_t groups = 0;
  std::int64_t global_per_router = 0;  // cables
  std::int64_t global_per_pair = 0;    // cables between two groups; 0: one group

  std::int64_t routers() const { return groups * routers_per_group; }
  std::int64_t group_of(std::int64_t router) const { return router / routers_per_group; }

  // Cable number `cable` from one group to another ends at these routers. REQUIRES: from != to, cable < global_per_pair.
  std::int64_t gateway(std::int64_t from, std::int64_t to, std::int64_t cable) const;
};

struct DragonflySizing {
  Dragonfly dragonfly;
  std::vector<std::string> misfits;
};

// REQUIRES: cluster.validate() is empty and its kind is dragonfly.
DragonflySizing size_dragonfly(const Cluster& cluster);

}  // namespace trillion
