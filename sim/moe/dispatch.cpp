#include "sim/moe/dispatch.h"

#include <algorithm>
#include <cmath>

#include "sim/base/error.h"
#include "sim/moe/capacity.h"
#include "sim/moe/load_statistics.h"

namespace trillion {
namespace {

Payload aligned(double values, double metadata) { return {values, std::ceil((values + metadata) / 16) * 16 - values}; }

// One sender's tokens. Whether a token meets a rank or node for the first time is as good as random: it decides a sum, never a branch.
class Sender {
 public:
  Sender(const Placement& placement, const ExpertGroup& group)
      : placement_(placement), load_(placement.homes.size()), rank_(static_cast<std::size_t>(group.ranks)) {
    for (std::int64_t r = 0; r < group.ranks; ++r) node_of_rank_.push_back(static_cast<std::size_t>(node_of(r, group)));
    node_.resize(static_cast<std::size_t>(node_count(group)));
  }

  struct Place {
    std::uint32_t copies = 0, pairs = 0;
    std::int64_t last = -1;  // token that came here
  };

  void send(const TokenChoices& choices) {
    std::fill(load_.begin(), load_.end(), 0);
    std::fill(rank_.begin(), rank_.end(), Place{});
    std::fill(node_.begin(), node_.end(), Place{});
    for (std::int64_t t = 0; t < choices.tokens(); ++t) {
      for (const std::uint16_t e : choices.of(t)) {
        if (e == CapacityResult::kDropped) continue;
        const std::size_t rank = placement_.home(e, t);
        ++load_[e];
        meet(rank_[rank], t);
        meet(node_[node_of_rank_[rank]], t);
      }
    }
  }
  const std::vector<std::uint32_t>& load() const { return load_; }
  const std::vector<Place>& ranks() const { return rank_; }
  const std::vector<Place>& nodes() const { return node_; }

 private:
  static void meet(Place& place, std::int64_t token) {
    place.copies += place.last != token ? 1 : 0;
    place.last = token;
    ++place.pairs;
  }

  const Placement& placement_;
  std::vector<std::uint32_t> load_;  // [expert]
  std::vector<std::size_t> node_of_rank_;
  std::vector<Place> rank_, node_;
};

}  // namespace

Traffic dispatch(const std::vector<TokenChoices>& choices, const Placement& placement, const ExpertGroup& group) {
  CHECK(static_cast<std::int64_t>(choices.size()) == group.ranks && placement.ranks == group.ranks);
  Traffic traffic;
  traffic.expert_load.assign(placement.homes.size(), 0.0);
  traffic.rank_load.assign(choices.size(), 0.0);
  traffic.rank_copies = Table(group.ranks, group.ranks);
  traffic.node_copies = Table(group.ranks, node_count(group));
  Sender sender(placement, group);
  for (std::int64_t s = 0; s < group.ranks; ++s) {
    const TokenChoices& mine = choices[static_cast<std::size_t>(s)];
    if (mine.expert.empty()) continue;
    traffic.tokens += static_cast<double>(mine.tokens());
    traffic.asked += static_cast<double>(mine.expert.size());
    sender.send(mine);
    for (std::size_t e = 0; e < sender.load().size(); ++e) traffic.expert_load[e] += sender.load()[e];
    for (std::size_t r = 0; r < choices.size(); ++r) {
      traffic.rank_copies.at(s, static_cast<std::int64_t>(r)) = sender.ranks()[r].copies;
      traffic.rank_load[r] += sender.ranks()[r].pairs;
    }
    for (std::int64_t n = 0; n < node_count(group); ++n) traffic.node_copies.at(s, n) = sender.nodes()[static_cast<std::size_t>(n)].copies;
  }
  return traffic;
}

LayerRouting routing_of(const Traffic& traffic, const ExpertGroup& group) {
  LayerRouting result;
  const LoadStatistics experts = statistics_of(traffic.expert_load);
  result.tokens_per_expert_max_over_mean = experts.max_over_mean;
  result.tokens_per_expert_variation = experts.coefficient_of_variation;
  result.rank_load = over_mean(traffic.rank_load);
  result.rank_load_max_over_mean = max_over_mean(traffic.rank_load);
  if (traffic.tokens <= 0) return result;
  result.served = sum_of(traffic.expert_load) / traffic.asked;
  result.dropped_share = 1 - result.served;
  const NicCopies nic = nic_copies(traffic.node_copies, group);
  result.scale_out_max_over_mean = std::max(max_over_mean(nic.sent), max_over_mean(nic.received));
  result.scale_out = over_mean(nic.received);
  const std::vector<double> sent = over_mean(nic.sent);
  for (std::size_t r = 0; r < sent.size(); ++r) result.scale_out[r] = std::max(result.scale_out[r], sent[r]);
  result.remote_nodes_per_token = sum_of(nic.sent) / traffic.tokens;
  result.local_ranks_per_token = copies_over_nvlink(traffic.rank_copies, group) / traffic.tokens;
  result.kept_per_token = sum_of(traffic.rank_copies.value) / traffic.tokens - result.local_ranks_per_token;
  result.nodes_per_token = sum_of(traffic.node_copies.value) / traffic.tokens;
  return result;
}

Payload dispatch_payload(std::int64_t hidden_size, std::int64_t top_k, bool fp8) {
  const double hidden = static_cast<double>(hidden_size);
  return aligned(fp8 ? hidden + 4.0 * std::ceil(hidden / 128.0) : 2.0 * hidden, 8 + 8.0 * static_cast<double>(top_k));
}

Payload combine_payload(std::int64_t hidden_size) { return aligned(2.0 * static_cast<double>(hidden_size), 8); }

Wires wires(const Traffic& traffic, const ExpertGroup& group, double bytes_per_copy) {
  Wires result{Table(group.ranks, group.ranks), Table(group.ranks, group.ranks)};
  for (std::int64_t s = 0; s < group.ranks; ++s)
    for (std::int64_t n = 0; n < node_count(group); ++n) {
      const std::int64_t in = entry(s, n, group), first = n * group.ranks_per_node;
      if (n != node_of(s, group)) result.scale_out.at(s, in) += traffic.node_copies.at(s, n) * bytes_per_copy;
      for (std::int64_t r = first; r < first + node_size(n, group); ++r)
        if (r != in) result.scale_up.at(in, r) += traffic.rank_copies.at(s, r) * bytes_per_copy;
    }
  return result;
}

}  // namespace trillion
