// A capacity factor: how many tokens of one rank an expert takes, and what becomes of the others.
//
// As in Megatron-LM (--moe-expert-capacity-factor), every rank decides for its own tokens of a micro-batch: of its copies for an expert
// ceil(factor tokens top_k / experts) go, the rest is dropped: neither sent nor computed. Which ones are kept changes no load; Megatron-LM
// keeps those of the largest gate values, GShard (arXiv:2006.16668, section 2.2) the first: here it is drawn, independently for each expert
// of a token. Padded (--moe-pad-expert-input-to-capacity), every expert gets exactly that many rows from every rank, empty ones where
// tokens are few: all ranks compute alike and what travels is known beforehand.
#pragma once

#include <cstdint>
#include <optional>

#include "sim/moe/gate.h"
#include "sim/spec/training.h"

namespace trillion {

struct ExpertCapacity {
  double tokens = 0;  // of one rank to one expert
  bool padded = false;
};
// Empty: dropless.
std::optional<ExpertCapacity> expert_capacity(const Routing& routing, const GateShape& gate, std::int64_t tokens_per_rank);

// Exact, for one rank's tokens. `kept` holds kDropped in place of a dropped expert.
struct CapacityResult {
  static constexpr std::uint16_t kDropped = 0xffff;
  TokenChoices kept;
  double dropped_share = 0;
};
CapacityResult drop_over_capacity(const TokenChoices& choices, std::int64_t experts, const ExpertCapacity& capacity, const Random& random);

// Mean and variance of min(X, capacity) for a normal X: what is kept of a load that is only known in distribution.
//   E = m F - s f + c (1 - F)      E2 = (m^2 + s^2) F - s f (m + c) + c^2 (1 - F)      f, F normal density and distribution at (c - m) / s
struct KeptLoad {
  double mean = 0, variance = 0;
  double slope = 1;  // d mean / d m = F: how much of the load's own error is left
};
KeptLoad kept_load(double mean, double variance, double capacity);

}  // namespace trillion
