// The routed experts of one rank: how many, how many rows they take, and their products. What travels between ranks is in
// workload/expert_exchange.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/workload/passes.h"

namespace trillion {

// Experts that a rank holds, replicas included; the most where ranks do not divide them.
std::int64_t experts_per_rank(const Model& model, const Plan& plan);
// Of one expert-parallel group, a replica and its original: on one node where the placement keeps the gate's groups on nodes. Alone where
// no expert is redundant.
Group replica_pair(const Model& model, const Plan& plan, const Group& expert);

// One rank's share of the routed work, as many rows as in the mean over the ranks.
struct RoutedShare {
  explicit RoutedShare(const BlockContext& context);
  std::int64_t local_experts = 0, rows = 0, width = 0, hidden = 0;
  double busiest_expert = 1;  // over the mean

  // Rows per expert: even ones (what does not divide goes to the first experts), or spread up to the busiest.
  std::vector<std::int64_t> groups() const;
};

// A product of all experts of the rank in one kernel.
Operation grouped_gemm(const BlockContext& context, const std::string& label, std::int64_t n, std::int64_t k, GemmLayout layout);

}  // namespace trillion
