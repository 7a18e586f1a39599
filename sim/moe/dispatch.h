// From choices to wires. A token goes to each node once, over the NIC of its sender's rail (the rank with the sender's place in that
// node), and from there over NVLink to the ranks of the node that hold its experts (DeepSeek-V3 report, section 3.2.2). Combine is the
// transpose of dispatch. Counts are token copies; bytes come last, in wires().
//
// Two ways to the same LayerRouting:
//   exact       dispatch(): every token of every rank
//   aggregated  tabulate() once per layer, then micro_batch_routing() per micro-batch: the per-token means of each domain, weighted with
//               the micro-batch's mix of domains. A sampled table adds noise of its own and averages the tokens' noise away; both are known
//               (multinomial), so the deviations from the mean are rescaled: variance seen - variance of the table + variance of the
//               tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/moe/expert_load.h"
#include "sim/moe/gate.h"
#include "sim/moe/placement.h"

namespace trillion {

// Dense, row-major.
struct Table {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> value;

  Table() = default;
  Table(std::int64_t r, std::int64_t c) : rows(r), columns(c), value(static_cast<std::size_t>(r * c), 0.0) {}
  double& at(std::int64_t r, std::int64_t c) { return value[static_cast<std::size_t>(r * columns + c)]; }
  double at(std::int64_t r, std::int64_t c) const { return value[static_cast<std::size_t>(r * columns + c)]; }
};

inline std::int64_t node_count(const ExpertGroup& group) { return (group.ranks + group.ranks_per_node - 1) / group.ranks_per_node; }

// Largest over mean of non-negative loads; 1 where there are none.
double max_over_mean(const std::vector<double>& loads);

// One micro-batch of one layer.
struct Traffic {
  double tokens = 0;                // of the whole group
  std::vector<double> expert_load;  // [expert] tokens
  std::vector<double> rank_load;    // [rank] (token, expert) pairs: rows of the rank's grouped GEMM
  Table rank_copies;                // [source rank][rank] tokens with an expert there, each counted once; own rank included
  Table node_copies;                // [source rank][node] likewise by node; own node included
};

// Exact: choices[r] are rank r's tokens. REQUIRES: choices.size() == group.ranks == placement.ranks.
Traffic dispatch(const std::vector<TokenChoices>& choices, const Placement& placement, const ExpertGroup& group);

LayerRouting routing_of(const Traffic& traffic, const ExpertGroup& group);

// Per-token means of each domain, from a sample of `tokens` tokens per domain.
struct RoutingTables {
  double tokens = 0;
  std::int64_t top_k = 1;
  Table expert_load;       // [domain][expert] probability that a token chooses it
  Table rank_load;         // [domain][rank] (token, expert) pairs
  Table rank_load_square;  // [domain][rank] mean of their square
  Table rank_copies;       // [domain][rank] probability that a token has an expert there
  Table node_copies;       // [domain][node] likewise
};

// REQUIRES: one TokenChoices per domain, equally many tokens each.
RoutingTables tabulate(const std::vector<TokenChoices>& by_domain, const Placement& placement, const ExpertGroup& group);

// sources: [rank][domain] tokens.
LayerRouting micro_batch_routing(const RoutingTables& tables, const Table& sources, const ExpertGroup& group);

// Capacity factor: an expert serves at most ceil(factor tokens top_k / experts) tokens of this set, first come first served in token order
// (GShard, arXiv:2006.16668); the other copies are dropped. `kept` holds kDropped in place of a dropped expert.
struct CapacityResult {
  static constexpr std::uint16_t kDropped = 0xffff;
  TokenChoices kept;
  double dropped_fraction = 0;
};
CapacityResult drop_over_capacity(const TokenChoices& choices, std::int64_t experts, double capacity_factor);

// Bytes by wire for one direction. scale_out[s][r]: from rank s to its rail's rank r on another node. scale_up[s][r]: over NVLink from
// s to r: own node's copies and the fan-out of copies that arrived at s by NIC.
struct Wires {
  Table scale_out, scale_up;
};
struct Payload {
  double bytes_per_copy = 0;  // hidden elements, scales and metadata of one token copy
};
// One byte per element and a 4-byte scale per 128 of them, or two bytes per element; 16 bytes per chosen expert for number and gate value.
Payload dispatch_payload(std::int64_t hidden_size, std::int64_t top_k, bool fp8);
Payload combine_payload(std::int64_t hidden_size);
Wires wires(const Traffic& traffic, const ExpertGroup& group, const Payload& payload);

}  // namespace trillion
