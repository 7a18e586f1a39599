// When transfers end that start together and share links max-min fairly (net/max_min.h), re-rated whenever one ends.
//
// Flows over the same links in the same proportions are one path: at any time they have one rate, so they end in the order of their
// bytes. Per path the state is how far a flow of it has come; that makes the cost
//
//   (distinct ends) x (paths and links that are still connected)
//
// and not a matter of the number of flows. Links that cannot fill up whatever happens are left out first, and what is then no
// longer connected runs apart. Flows of equal size in equal positions end at the same instant, bit for bit.
//
// Example: over a link of 10 bytes/s, flows of 10 and 30 bytes end after 2 s and 4 s.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/net/fabric.h"
#include "sim/net/max_min.h"

namespace trillion {

struct FluidProblem {
  struct Flow {
    std::uint32_t path;
    double bytes;  // positive
  };
  std::vector<double> capacities;  // per link, bytes per second, positive
  std::vector<std::uint32_t> uses_begin{0};
  std::vector<MaxMinUse> uses;  // of path p: uses_begin[p] .. uses_begin[p + 1]; none twice, at least one
  std::vector<Flow> flows;

  std::uint32_t add_path(std::span<const MaxMinUse> path_uses);
  std::size_t path_count() const { return uses_begin.size() - 1; }
};

// One end per flow, in seconds from the start.
std::vector<double> flow_ends(const FluidProblem& problem);

// Between GPUs of a fabric, as it routes. What stays on its GPU ends at once.
struct Transfer {
  std::int64_t from = 0, to = 0;
  Bytes bytes;
};

// Ends of transfers that start together. Bytes flow from the beginning; a route's latency comes on top and is not in it.
std::vector<Seconds> transfer_ends(const Fabric& fabric, std::span<const Transfer> transfers);

}  // namespace trillion
