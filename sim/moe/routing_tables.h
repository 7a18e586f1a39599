// From choices to loads, aggregated: tabulate() once per layer, then micro_batch_routing() per micro-batch, which weights the domains'
// per-token means with the micro-batch's mix of domains. Agrees with moe/dispatch.h's way (tests/moe/routing_tables_test.cpp) at a
// thousandth of the work.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/moe/capacity.h"
#include "sim/moe/expert_load.h"
#include "sim/moe/gate.h"
#include "sim/moe/placement.h"
#include "sim/moe/wiring.h"

namespace trillion {

// Per-token means of each domain, from a sample of `tokens` tokens per domain.
struct RoutingTables {
  double tokens = 0;
  std::int64_t top_k = 1;
  Placement placement;
  Table expert_load;       // [domain][expert] probability that a token chooses it
  Table rank_load;         // [domain][rank] (token, expert) pairs
  Table rank_load_square;  // [domain][rank] mean of their square
  Table rank_copies;       // [domain][rank] probability that a token has an expert there
  Table node_copies;       // [domain][node] likewise
  Table rank_pairs;        // [domain][rank x (top_k + 1) + j] probability that it has j of its experts there, j > 0
  Table node_pairs;        // [domain][node x (top_k + 1) + j] likewise
};

// REQUIRES: one TokenChoices per domain, equally many tokens each.
RoutingTables tabulate(const std::vector<TokenChoices>& by_domain, const Placement& placement, const ExpertGroup& group);

// sources: [rank][domain] tokens. All copies are served.
LayerRouting micro_batch_routing(const RoutingTables& tables, const Table& sources, const ExpertGroup& group);

// The same where every rank drops what is beyond an expert's capacity, or pads up to it.
//
// A rank's copies for an expert are normal, mean and variance from its own mix of domains, cut at the capacity (kept_load). A copy to a
// node is sent unless all of the token's experts there drop it: with j experts there, 1 - (share dropped there)^j. Padded rows are one
// per (token, expert) and not merged by node: what is sent follows from the capacity alone.
LayerRouting capped_routing(const RoutingTables& tables, const Table& sources, const ExpertGroup& group, const ExpertCapacity& capacity);

// Loads of the layer's experts over all data and in each domain alone, the sample's noise taken out.
LayerLoad layer_load(const RoutingTables& tables);

}  // namespace trillion
