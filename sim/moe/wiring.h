// Which wires a token copy takes. A token goes to each node once, over the NIC of its sender's rail (the rank with the sender's place in
// that node), and from there over NVLink to the ranks of the node that hold its experts (DeepSeek-V3 report, section 3.2.2).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/moe/expert_load.h"
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
inline std::int64_t node_of(std::int64_t rank, const ExpertGroup& group) { return rank / group.ranks_per_node; }
std::int64_t node_size(std::int64_t node, const ExpertGroup& group);

// Where the sender's copies enter a node: at itself in its own, else at its rail's rank. A last node that is not full lacks some rails;
// those it has are shared in turn.
std::int64_t entry(std::int64_t sender, std::int64_t node, const ExpertGroup& group);

// Payload that each rank's NIC sends to and receives from other nodes, in token copies. node_copies: [source rank][node].
struct NicCopies {
  std::vector<double> sent, received;
};
NicCopies nic_copies(const Table& node_copies, const ExpertGroup& group);

// Copies that a GPU gets over NVLink: all but those that enter the node there. rank_copies: [source rank][rank], or [rail][rank] of all
// that share a rail, which enter each node at one place.
double copies_over_nvlink(const Table& rank_copies, const ExpertGroup& group);

// What one token's choice touches, each rank and node once, and with how many of its experts.
class Footprint {
 public:
  Footprint(const Placement& placement, const ExpertGroup& group);

  // Dropped experts (moe/capacity.h) touch nothing.
  void visit(std::span<const std::uint16_t> experts, std::int64_t token);
  const std::vector<std::size_t>& ranks() const { return ranks_; }
  const std::vector<std::size_t>& nodes() const { return nodes_; }
  std::int64_t pairs_on_rank(std::size_t rank) const { return on_rank_[rank]; }
  std::int64_t pairs_on_node(std::size_t node) const { return on_node_[node]; }

 private:
  const Placement& placement_;
  std::vector<std::size_t> node_of_rank_;
  std::vector<std::int32_t> on_rank_, on_node_;
  std::vector<std::size_t> ranks_, nodes_;
};

}  // namespace trillion
