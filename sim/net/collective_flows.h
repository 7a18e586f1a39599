// A collective as transfers between its members, for a fabric to carry (net/fluid.h): what the closed forms of spec/curve.h stand
// for. On an idle fabric the two agree (tests/net/collective_flows_test.cpp); beside other traffic only the flows can tell.
//
// Collectives are pipelined: the chunks of a message keep all links of the algorithm busy at once. A phase is therefore one set of
// transfers that run together, with all the bytes that pass between two members; phases follow one another, and latency is paid
// once along the chain of hops that the first chunk takes:
//
//   time = sum over phases of the last end + sum over the chain of latencies
//
// n members, g consecutive ones in each scale-up domain, N = n / g domains, S bytes as nccl-tests counts them:
//
//   ring          g rings, S / g each; ring r passes a domain's members from place r on and enters the next domain at place r, so
//                 that each has a NIC of its own. n - 1 hops (all_reduce: twice as many), (n - 1) / n of the bytes over each link
//   tree          all_reduce: members of a domain in a chain, one chain per place; the chains' heads in two binary trees, S / 2g each,
//                 leaves of one inner nodes of the other (Sanders et al. 2009, as NCCL does it)
//   hierarchical  all_reduce: reduce-scatter within domains, ring between members of the same place, all-gather within domains
//   pairwise      all_to_all: S / n from everyone to everyone
//   two_hop       all_to_all: S / g' of what goes to a domain to the member of the own place there, who hands it on over NVLink
//
// Example: 16 GPUs on two nodes of 8, ring all-gather of 16 bytes: eight rings of 2 bytes, each hop moves 15/16 of them.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "sim/net/fluid.h"
#include "sim/spec/kernel.h"

namespace trillion {

enum class CollectiveAlgorithm { ring, tree, hierarchical, pairwise, two_hop };

struct CollectiveGroup {
  std::vector<std::int64_t> gpus;  // in rank order
  std::int64_t per_domain = 1;     // g; divides the number of members

  std::int64_t size() const { return static_cast<std::int64_t>(gpus.size()); }
  std::int64_t domains() const { return size() / per_domain; }
  std::int64_t at(std::int64_t domain, std::int64_t place) const { return gpus[static_cast<std::size_t>(domain * per_domain + place)]; }
};

struct CollectiveFlows {
  std::vector<std::vector<Transfer>> phases;
  std::vector<std::pair<std::int64_t, std::int64_t>> chain;  // hops of the first chunk
};

// REQUIRES: the algorithm does that kind (all_gather and reduce_scatter by ring, all_reduce by ring, tree or hierarchical, all_to_all
// pairwise or two_hop); at least two members.
CollectiveFlows flows_of(CollectiveAlgorithm algorithm, CollectiveKind kind, const CollectiveGroup& group, Bytes bytes);

// Alone on the fabric.
Seconds time_of(const CollectiveFlows& flows, const Fabric& fabric);

}  // namespace trillion
