// Which rank of the expert-parallel group holds which expert. Pure functions from loads or choices to a placement.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/moe/expert_load.h"
#include "sim/moe/gate.h"

namespace trillion {

// Every expert has at least one home. An expert with several is replicated; a token uses one of them: home(expert, token).
struct Placement {
  std::int64_t ranks = 1;
  std::vector<std::vector<std::uint16_t>> homes;  // per expert, ranks

  std::int64_t experts() const { return static_cast<std::int64_t>(homes.size()); }
  // Replicas share an expert's tokens in turn.
  std::uint16_t home(std::size_t expert, std::int64_t token) const {
    const std::vector<std::uint16_t>& all = homes[expert];
    return all.size() == 1 ? all[0] : all[(static_cast<std::size_t>(token) + expert) % all.size()];
  }
};

// All of them take any number of experts over any number of ranks; some ranks hold one more than others where it does not divide, and
// none where there are more ranks than experts.

// Expert e on rank floor(e ranks / experts): neighbours together, so that the gate's groups fall on whole nodes.
Placement contiguous_placement(std::int64_t experts, std::int64_t ranks);

// Expert e on rank e mod ranks: neighbours apart.
Placement round_robin_placement(std::int64_t experts, std::int64_t ranks);

struct BalancedPlacement {
  std::int64_t ranks = 1;
  std::int64_t ranks_per_node = 1;
  std::int64_t groups = 1;    // expert groups of the gate, kept whole on a node where the nodes divide them
  std::int64_t physical = 0;  // experts with all replicas, at least the number of experts
};

// Load-balanced with redundant experts, the published algorithm of DeepSeek's EPLB (facts/balancing.md section 6):
//   groups to nodes by load; within a node, one more replica at a time to the expert with the largest load per replica; replicas to
//   ranks, heaviest first, each to the lightest rank with room. Where nodes are unequal or do not divide the groups: one node for all.
// Ranks hold equally many, or one more where their number does not divide `physical`.
// REQUIRES: loads.size() <= physical.
Placement balanced_placement(std::span<const double> loads, const BalancedPlacement& shape);
// Whether the groups stay whole on nodes, so that a replica shares its node with the original.
bool is_hierarchical(std::int64_t experts, const BalancedPlacement& shape);

// Fewest nodes per token: experts that tokens choose together share a node. Equal counts per node, improved by pairwise exchange
// (Kernighan and Lin 1970) from the contiguous placement until no exchange helps; within a node packed to ranks by load.
// Never worse than contiguous in the within-node co-activation of `sample`.
Placement traffic_minimising_placement(const TokenChoices& sample, std::int64_t experts, const ExpertGroup& group);

}  // namespace trillion
