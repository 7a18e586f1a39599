// From choices to wires, token by token: every token of every rank, one micro-batch of one layer. Combine is the transpose of dispatch.
// Counts are token copies; bytes come last, in wires(). The aggregated way to the same LayerRouting is moe/routing_tables.h.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/moe/expert_load.h"
#include "sim/moe/gate.h"
#include "sim/moe/placement.h"
#include "sim/moe/wiring.h"

namespace trillion {

// One micro-batch of one layer.
struct Traffic {
  double tokens = 0;                // of the whole group
  double asked = 0;                 // (token, expert) pairs that the gate chose, dropped ones included
  std::vector<double> expert_load;  // [expert] tokens
  std::vector<double> rank_load;    // [rank] (token, expert) pairs: rows of the rank's grouped GEMM
  Table rank_copies;                // [source rank][rank] tokens with an expert there, each counted once; own rank included
  Table node_copies;                // [source rank][node] likewise by node; own node included
};

// Exact: choices[r] are rank r's tokens. REQUIRES: choices.size() == group.ranks == placement.ranks.
Traffic dispatch(const std::vector<TokenChoices>& choices, const Placement& placement, const ExpertGroup& group);

LayerRouting routing_of(const Traffic& traffic, const ExpertGroup& group);

// Bytes by wire for one direction. scale_out[s][r]: from rank s to its rail's rank r on another node. scale_up[s][r]: over NVLink from
// s to r: own node's copies and the fan-out of copies that arrived at s by NIC.
struct Wires {
  Table scale_out, scale_up;
};

// One token copy on the wire.
struct Payload {
  double values = 0;    // hidden elements with their scales: what collectives are timed by, as DeepEP's own tests count
  double metadata = 0;  // who sent it, which experts, their weights; padded to 16 bytes
  double total() const { return values + metadata; }
};
// One byte per element and a 4-byte scale per 128 of them, or two bytes per element. Metadata as DeepEP's csrc/kernels/internode.cu lays
// them out: 8 bytes of source, and to the experts 4 of number and 4 of weight for each.
Payload dispatch_payload(std::int64_t hidden_size, std::int64_t top_k, bool fp8);
Payload combine_payload(std::int64_t hidden_size);

Wires wires(const Traffic& traffic, const ExpertGroup& group, double bytes_per_copy);

}  // namespace trillion
