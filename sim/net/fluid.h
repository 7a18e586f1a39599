// When transfers end that start together and share links max-min fairly (net/max_min.h), re-rated whenever one ends.
//
// What a re-rating costs is kept to what it can change:
//
//   bundle   flows over the same links, of those that may hold them back at all, have one rate and end in the order of their bytes; links
//            that surely hold nobody back are left out (net/fluid_bundles.h)
//   clock    a link moves what it holds back at one rate, so it keeps one clock for all of that; a rate that changes costs nothing a
//            bundle (net/fluid_clocks.h)
//   pairs    where bundles share two links, one out and one in, links are filled in the order in which they were before
//            (net/fluid_pairs.h)
//   parts    links that no key joins are filled apart; who passes links of another part first (net/fluid_parts.h)
//   change   when a flow of rate r ends, rates below r stay: nobody who is held back at a lower level can gain or lose. What is
//            held back at r or above is filled again, as far as it is connected by links
//
// Flows of equal size in equal positions end at the same instant. The rates are those of MaxMinSolver (tests/net/fluid_test.cpp), the
// ends SimGrid's (tests/simgrid).
//
// Example: over a link of 10 bytes/s, flows of 10 and 30 bytes end after 2 s and 4 s.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/net/fabric.h"

namespace trillion {

struct FluidProblem {
  struct Use {
    std::uint32_t link = 0;
    double share = 1;  // of a flow's bytes, in (0, 1]
  };
  struct Flow {
    std::uint32_t path = 0;
    double bytes = 0;  // positive
  };
  std::vector<double> capacities;  // per link, bytes per second, positive
  std::vector<std::uint32_t> uses_begin{0};
  std::vector<Use> uses;  // of path p: uses_begin[p] .. uses_begin[p + 1]; no link twice, at least one
  std::vector<Flow> flows;

  std::uint32_t add_path(std::span<const Use> path_uses);
  std::size_t path_count() const { return uses_begin.size() - 1; }
  std::span<const Use> uses_of(std::uint32_t path) const {
    return {uses.data() + uses_begin[path], uses_begin[path + 1] - uses_begin[path]};
  }
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
