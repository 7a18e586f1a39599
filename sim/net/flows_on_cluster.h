// What a collective takes as flows on a cluster's fabric: alone, and while every other group of its kind does the same. The closed forms
// of spec/collective_curve.h know calibrated rates and an idle network; this knows the links, their full rates and who shares them.
//
// Groups tile the cluster as an axis of a plan does: of a group of n ranks, g in each scale-up domain, the members of one domain are
// neighbours, and its domains follow one another; the next groups take the next g GPUs of the same domains, then the next domains.
//
// Example: an all-gather of 8 ranks, one a node, over 64 nodes of 8 GPUs: 64 groups at once, each NIC carries one ring.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "sim/net/collective_flows.h"
#include "sim/net/fabric.h"
#include "sim/spec/cluster.h"

namespace trillion {

struct FlowTimes {
  Seconds alone, beside_others;
  std::int64_t groups = 1;  // that communicate at once
};

// Or why there are none: more ranks than GPUs, ranks that do not fill whole domains evenly, a kind that no algorithm of
// collective_flows.h does, more than four million flows at once. REQUIRES: the algorithm does that kind, where any does.
std::variant<FlowTimes, std::string> flow_times(const Collective& collective, CollectiveAlgorithm algorithm, const Cluster& cluster,
                                                const Fabric& fabric);

}  // namespace trillion
