#include "sim/moe/wiring.h"

#include <algorithm>

#include "sim/moe/capacity.h"

namespace trillion {

std::int64_t node_size(std::int64_t node, const ExpertGroup& group) {
  return std::min(group.ranks_per_node, group.ranks - node * group.ranks_per_node);
}

std::int64_t entry(std::int64_t sender, std::int64_t node, const ExpertGroup& group) {
  if (node == node_of(sender, group)) return sender;
  return node * group.ranks_per_node + sender % group.ranks_per_node % node_size(node, group);
}

NicCopies nic_copies(const Table& node_copies, const ExpertGroup& group) {
  NicCopies nic{std::vector<double>(static_cast<std::size_t>(group.ranks), 0.0),
                std::vector<double>(static_cast<std::size_t>(group.ranks), 0.0)};
  for (std::int64_t n = 0; n < node_copies.columns; ++n) {
    const std::int64_t first = n * group.ranks_per_node, size = node_size(n, group);
    for (std::int64_t s = 0, rail = 0; s < group.ranks; ++s, rail = rail + 1 == group.ranks_per_node ? 0 : rail + 1) {
      if (s >= first && s < first + size) continue;
      nic.sent[static_cast<std::size_t>(s)] += node_copies.at(s, n);
      nic.received[static_cast<std::size_t>(first + (rail < size ? rail : rail % size))] += node_copies.at(s, n);
    }
  }
  return nic;
}

double copies_over_nvlink(const Table& rank_copies, const ExpertGroup& group) {
  double sum = 0;
  for (std::int64_t n = 0; n < node_count(group); ++n) {
    const std::int64_t first = n * group.ranks_per_node, end = first + node_size(n, group);
    for (std::int64_t s = 0; s < rank_copies.rows; ++s) {
      const std::int64_t in = entry(s, n, group);
      for (std::int64_t r = first; r < in; ++r) sum += rank_copies.at(s, r);
      for (std::int64_t r = in + 1; r < end; ++r) sum += rank_copies.at(s, r);
    }
  }
  return sum;
}

Footprint::Footprint(const Placement& placement, const ExpertGroup& group)
    : placement_(placement), on_rank_(static_cast<std::size_t>(group.ranks)), on_node_(static_cast<std::size_t>(node_count(group))) {
  for (std::int64_t r = 0; r < group.ranks; ++r) node_of_rank_.push_back(static_cast<std::size_t>(node_of(r, group)));
}

void Footprint::visit(std::span<const std::uint16_t> experts, std::int64_t token) {
  for (const std::size_t r : ranks_) on_rank_[r] = 0;
  for (const std::size_t n : nodes_) on_node_[n] = 0;
  ranks_.clear();
  nodes_.clear();
  for (const std::uint16_t e : experts) {
    if (e == CapacityResult::kDropped) continue;
    const std::size_t rank = placement_.home(e, token);
    const std::size_t node = node_of_rank_[rank];
    if (on_rank_[rank]++ == 0) ranks_.push_back(rank);
    if (on_node_[node]++ == 0) nodes_.push_back(node);
  }
}

}  // namespace trillion
