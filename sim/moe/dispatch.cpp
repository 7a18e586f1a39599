#include "sim/moe/dispatch.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/base/error.h"

namespace trillion {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using View = Eigen::Map<const Matrix>;

View view(const Table& table) { return {table.value.data(), table.rows, table.columns}; }

Table to_table(const Matrix& matrix) {
  Table result(matrix.rows(), matrix.cols());
  std::copy(matrix.data(), matrix.data() + matrix.size(), result.value.begin());
  return result;
}

std::int64_t node_of(std::int64_t rank, const ExpertGroup& group) { return rank / group.ranks_per_node; }

std::int64_t node_size(std::int64_t node, const ExpertGroup& group) {
  return std::min(group.ranks_per_node, group.ranks - node * group.ranks_per_node);
}

// Where the sender's copies enter a node: at itself in its own, else at its rail's rank. A last node that is not full lacks some rails;
// those it has are shared in turn.
std::int64_t entry(std::int64_t sender, std::int64_t node, const ExpertGroup& group) {
  if (node == node_of(sender, group)) return sender;
  return node * group.ranks_per_node + sender % group.ranks_per_node % node_size(node, group);
}

// Payload that each rank's NIC sends to and receives from other nodes, in token copies.
struct NicCopies {
  std::vector<double> sent, received;
};

NicCopies nic_copies(const Table& node_copies, const ExpertGroup& group) {
  NicCopies nic{std::vector<double>(static_cast<std::size_t>(group.ranks), 0.0),
                std::vector<double>(static_cast<std::size_t>(group.ranks), 0.0)};
  for (std::int64_t s = 0; s < group.ranks; ++s)
    for (std::int64_t n = 0; n < node_copies.columns; ++n) {
      if (n == node_of(s, group)) continue;
      nic.sent[static_cast<std::size_t>(s)] += node_copies.at(s, n);
      nic.received[static_cast<std::size_t>(entry(s, n, group))] += node_copies.at(s, n);
    }
  return nic;
}

// Copies that a GPU gets over NVLink: all but those that enter the node there.
double copies_over_nvlink(const Table& rank_copies, const ExpertGroup& group) {
  double sum = 0;
  for (std::int64_t s = 0; s < group.ranks; ++s)
    for (std::int64_t r = 0; r < group.ranks; ++r)
      if (entry(s, node_of(r, group), group) != r) sum += rank_copies.at(s, r);
  return sum;
}

// What one token's choice touches, each rank and node once.
class Footprint {
 public:
  Footprint(const Placement& placement, const ExpertGroup& group)
      : placement_(placement),
        group_(group),
        pairs_(static_cast<std::size_t>(group.ranks)),
        node_seen_(static_cast<std::size_t>(node_count(group))) {}

  void visit(std::span<const std::uint16_t> experts, std::int64_t token) {
    for (const std::size_t r : ranks_) pairs_[r] = 0;
    for (const std::size_t n : nodes_) node_seen_[n] = 0;
    ranks_.clear();
    nodes_.clear();
    for (const std::uint16_t e : experts) {
      if (e == CapacityResult::kDropped) continue;
      const std::size_t rank = placement_.home(e, token);
      if (pairs_[rank]++ > 0) continue;
      ranks_.push_back(rank);
      const std::size_t node = static_cast<std::size_t>(node_of(static_cast<std::int64_t>(rank), group_));
      if (node_seen_[node]) continue;
      node_seen_[node] = 1;
      nodes_.push_back(node);
    }
  }
  const std::vector<std::size_t>& ranks() const { return ranks_; }
  const std::vector<std::size_t>& nodes() const { return nodes_; }
  double pairs(std::size_t rank) const { return pairs_[rank]; }

 private:
  const Placement& placement_;
  const ExpertGroup& group_;
  std::vector<int> pairs_;
  std::vector<char> node_seen_;
  std::vector<std::size_t> ranks_, nodes_;
};

// `load` as ratios to its mean, the deviations from it rescaled (see the header).
std::vector<double> corrected_over_mean(const std::vector<double>& load, double table_variance, double token_variance) {
  std::vector<double> result(load.size(), 1.0);
  const double mean = std::accumulate(load.begin(), load.end(), 0.0) / static_cast<double>(load.size());
  if (mean <= 0) return result;
  double seen = 0;
  for (const double x : load) seen += (x - mean) * (x - mean);
  seen /= static_cast<double>(load.size());
  if (seen <= 0) return result;
  // The table's own noise may exceed its expectation by chance; the tokens' noise remains in any case.
  const double real = std::max(seen - table_variance, 0.0) + token_variance;
  for (std::size_t i = 0; i < load.size(); ++i) {
    result[i] = std::max(0.0, 1 + (load[i] / mean - 1) * std::sqrt(real / seen));
  }
  return result;
}

std::vector<double> over_mean(const std::vector<double>& load) { return corrected_over_mean(load, 0, 0); }

double largest(const std::vector<double>& loads) { return *std::max_element(loads.begin(), loads.end()); }

struct Variances {
  double table = 0, tokens = 0;  // mean over the columns
};

// Variance of sum over domains of tokens[d] * mean[d][column], per column: per-token variance is square - mean^2.
Variances variances(const std::vector<double>& domain_tokens, const Table& mean, const Table& square, double table_tokens) {
  Variances result;
  for (std::int64_t d = 0; d < mean.rows; ++d) {
    double per_token = 0;
    for (std::int64_t c = 0; c < mean.columns; ++c) per_token += square.at(d, c) - mean.at(d, c) * mean.at(d, c);
    per_token /= static_cast<double>(mean.columns);
    const double n = domain_tokens[static_cast<std::size_t>(d)];
    result.table += n * n * per_token / table_tokens;
    result.tokens += n * per_token;
  }
  return result;
}

std::vector<double> weighted(const std::vector<double>& domain_tokens, const Table& mean) {
  const Eigen::Map<const Eigen::RowVectorXd> weights(domain_tokens.data(), static_cast<Eigen::Index>(domain_tokens.size()));
  std::vector<double> result(static_cast<std::size_t>(mean.columns));
  Eigen::Map<Eigen::RowVectorXd>(result.data(), mean.columns) = weights * view(mean);
  return result;
}

// The busiest NIC. What it receives comes from the few senders of its rail, so their mix of domains decides; what it sends is nearly even.
// Per rank, the busier direction of its NIC over the mean.
std::vector<double> nic_load(const RoutingTables& tables, const Table& sources, const Table& node_copies, const ExpertGroup& group) {
  const NicCopies nic = nic_copies(node_copies, group);
  double table_variance = 0, token_variance = 0;
  const std::int64_t nodes = node_copies.columns;
  for (std::int64_t rail = 0; rail < group.ranks_per_node; ++rail)
    for (std::int64_t n = 0; n < nodes; ++n)
      for (std::int64_t d = 0; d < tables.node_copies.rows; ++d) {
        double senders = 0;
        for (std::int64_t s = rail; s < group.ranks; s += group.ranks_per_node)
          if (node_of(s, group) != n) senders += sources.at(s, d);
        const double p = tables.node_copies.at(d, n), per_token = p * (1 - p);
        table_variance += senders * senders * per_token / tables.tokens;
        token_variance += senders * per_token;
      }
  const double nics = static_cast<double>(group.ranks_per_node * nodes);
  std::vector<double> load = corrected_over_mean(nic.received, table_variance / nics, token_variance / nics);
  const std::vector<double> sent = over_mean(nic.sent);
  for (std::size_t r = 0; r < load.size(); ++r) load[r] = std::max(load[r], sent[r]);
  return load;
}

}  // namespace

double max_over_mean(const std::vector<double>& loads) {
  const double sum = std::accumulate(loads.begin(), loads.end(), 0.0);
  if (sum <= 0) return 1;
  return *std::max_element(loads.begin(), loads.end()) * static_cast<double>(loads.size()) / sum;
}

Traffic dispatch(const std::vector<TokenChoices>& choices, const Placement& placement, const ExpertGroup& group) {
  CHECK(static_cast<std::int64_t>(choices.size()) == group.ranks && placement.ranks == group.ranks);
  Traffic traffic;
  traffic.expert_load.assign(placement.homes.size(), 0.0);
  traffic.rank_load.assign(choices.size(), 0.0);
  traffic.rank_copies = Table(group.ranks, group.ranks);
  traffic.node_copies = Table(group.ranks, node_count(group));
  Footprint footprint(placement, group);
  for (std::int64_t s = 0; s < group.ranks; ++s) {
    const TokenChoices& mine = choices[static_cast<std::size_t>(s)];
    if (mine.expert.empty()) continue;
    traffic.tokens += static_cast<double>(mine.tokens());
    double* to_rank = &traffic.rank_copies.at(s, 0);
    double* to_node = &traffic.node_copies.at(s, 0);
    for (std::int64_t t = 0; t < mine.tokens(); ++t) {
      footprint.visit(mine.of(t), t);
      for (const std::uint16_t e : mine.of(t))
        if (e != CapacityResult::kDropped) traffic.expert_load[e] += 1;
      for (const std::size_t r : footprint.ranks()) {
        to_rank[r] += 1;
        traffic.rank_load[r] += footprint.pairs(r);
      }
      for (const std::size_t n : footprint.nodes()) to_node[n] += 1;
    }
  }
  return traffic;
}

LayerRouting routing_of(const Traffic& traffic, const ExpertGroup& group) {
  LayerRouting result;
  result.tokens_per_expert_max_over_mean = max_over_mean(traffic.expert_load);
  result.rank_load = over_mean(traffic.rank_load);
  result.rank_load_max_over_mean = max_over_mean(traffic.rank_load);
  if (traffic.tokens <= 0) return result;
  const NicCopies nic = nic_copies(traffic.node_copies, group);
  result.scale_out_max_over_mean = std::max(max_over_mean(nic.sent), max_over_mean(nic.received));
  result.scale_out = over_mean(nic.received);
  const std::vector<double> sent = over_mean(nic.sent);
  for (std::size_t r = 0; r < sent.size(); ++r) result.scale_out[r] = std::max(result.scale_out[r], sent[r]);
  result.remote_nodes_per_token = std::accumulate(nic.sent.begin(), nic.sent.end(), 0.0) / traffic.tokens;
  result.local_ranks_per_token = copies_over_nvlink(traffic.rank_copies, group) / traffic.tokens;
  result.nodes_per_token = view(traffic.node_copies).sum() / traffic.tokens;
  return result;
}

RoutingTables tabulate(const std::vector<TokenChoices>& by_domain, const Placement& placement, const ExpertGroup& group) {
  CHECK(!by_domain.empty() && placement.ranks == group.ranks);
  const std::int64_t domains = static_cast<std::int64_t>(by_domain.size());
  RoutingTables tables;
  tables.tokens = static_cast<double>(by_domain[0].tokens());
  tables.top_k = by_domain[0].top_k;
  tables.expert_load = Table(domains, placement.experts());
  tables.rank_load = tables.rank_load_square = tables.rank_copies = Table(domains, group.ranks);
  tables.node_copies = Table(domains, node_count(group));
  Footprint footprint(placement, group);
  const double one = 1.0 / tables.tokens;
  for (std::int64_t d = 0; d < domains; ++d) {
    const TokenChoices& choices = by_domain[static_cast<std::size_t>(d)];
    CHECK(static_cast<double>(choices.tokens()) == tables.tokens);
    for (std::int64_t t = 0; t < choices.tokens(); ++t) {
      footprint.visit(choices.of(t), t);
      for (const std::uint16_t e : choices.of(t)) tables.expert_load.at(d, e) += one;
      for (const std::size_t r : footprint.ranks()) {
        const std::int64_t rank = static_cast<std::int64_t>(r);
        const double pairs = footprint.pairs(r);
        tables.rank_copies.at(d, rank) += one;
        tables.rank_load.at(d, rank) += one * pairs;
        tables.rank_load_square.at(d, rank) += one * pairs * pairs;
      }
      for (const std::size_t n : footprint.nodes()) tables.node_copies.at(d, static_cast<std::int64_t>(n)) += one;
    }
  }
  return tables;
}

LayerRouting micro_batch_routing(const RoutingTables& tables, const Table& sources, const ExpertGroup& group) {
  CHECK(sources.rows == group.ranks && sources.columns == tables.expert_load.rows);
  std::vector<double> domain_tokens(static_cast<std::size_t>(sources.columns), 0.0);
  for (std::int64_t s = 0; s < sources.rows; ++s)
    for (std::int64_t d = 0; d < sources.columns; ++d) domain_tokens[static_cast<std::size_t>(d)] += sources.at(s, d);
  const double tokens = std::accumulate(domain_tokens.begin(), domain_tokens.end(), 0.0);
  CHECK(tokens > 0);
  const Table node_copies = to_table(view(sources) * view(tables.node_copies));
  const Table rank_copies = to_table(view(sources) * view(tables.rank_copies));

  LayerRouting result;
  const Variances expert = variances(domain_tokens, tables.expert_load, tables.expert_load, tables.tokens);  // 0 or 1: its own square
  const Variances rank = variances(domain_tokens, tables.rank_load, tables.rank_load_square, tables.tokens);
  result.tokens_per_expert_max_over_mean =
      largest(corrected_over_mean(weighted(domain_tokens, tables.expert_load), expert.table, expert.tokens));
  result.rank_load = corrected_over_mean(weighted(domain_tokens, tables.rank_load), rank.table, rank.tokens);
  result.rank_load_max_over_mean = largest(result.rank_load);
  result.nodes_per_token = view(node_copies).sum() / tokens;
  if (group.ranks == 1) return result;
  result.local_ranks_per_token = copies_over_nvlink(rank_copies, group) / tokens;
  if (node_copies.columns == 1) return result;
  const NicCopies nic = nic_copies(node_copies, group);
  result.remote_nodes_per_token = std::accumulate(nic.sent.begin(), nic.sent.end(), 0.0) / tokens;
  result.scale_out = nic_load(tables, sources, node_copies, group);
  result.scale_out_max_over_mean = largest(result.scale_out);
  return result;
}

CapacityResult drop_over_capacity(const TokenChoices& choices, std::int64_t experts, double capacity_factor) {
  CHECK(experts > 0 && capacity_factor > 0);
  CapacityResult result{choices, 0};
  const double share = capacity_factor * static_cast<double>(choices.expert.size()) / static_cast<double>(experts);
  const std::int64_t capacity = static_cast<std::int64_t>(std::ceil(share));
  std::vector<std::int64_t> served(static_cast<std::size_t>(experts), 0);
  double dropped = 0;
  for (std::uint16_t& e : result.kept.expert) {
    if (served[e]++ < capacity) continue;
    e = CapacityResult::kDropped;
    dropped += 1;
  }
  if (!choices.expert.empty()) result.dropped_fraction = dropped / static_cast<double>(choices.expert.size());
  return result;
}

Payload dispatch_payload(std::int64_t hidden_size, std::int64_t top_k, bool fp8) {
  const double hidden = static_cast<double>(hidden_size);
  return {(fp8 ? hidden + 4.0 * std::ceil(hidden / 128.0) : 2.0 * hidden) + 16.0 * static_cast<double>(top_k)};
}

Payload combine_payload(std::int64_t hidden_size) { return {2.0 * static_cast<double>(hidden_size)}; }

Wires wires(const Traffic& traffic, const ExpertGroup& group, const Payload& payload) {
  Wires result{Table(group.ranks, group.ranks), Table(group.ranks, group.ranks)};
  for (std::int64_t s = 0; s < group.ranks; ++s)
    for (std::int64_t n = 0; n < node_count(group); ++n) {
      const std::int64_t in = entry(s, n, group), first = n * group.ranks_per_node;
      if (n != node_of(s, group)) result.scale_out.at(s, in) += traffic.node_copies.at(s, n) * payload.bytes_per_copy;
      for (std::int64_t r = first; r < first + node_size(n, group); ++r)
        if (r != in) result.scale_up.at(in, r) += traffic.rank_copies.at(s, r) * payload.bytes_per_copy;
    }
  return result;
}

}  // namespace trillion
