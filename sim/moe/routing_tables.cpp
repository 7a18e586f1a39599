#include "sim/moe/routing_tables.h"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "sim/base/error.h"
#include "sim/moe/load_statistics.h"

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

std::vector<double> to_vector(const Eigen::VectorXd& values) { return {values.data(), values.data() + values.size()}; }

double largest(const std::vector<double>& loads) { return *std::max_element(loads.begin(), loads.end()); }

std::vector<double> tokens_by_domain(const Table& sources) { return to_vector(view(sources).colwise().sum().transpose()); }

// Noise of sum over domains of tokens[d] * mean[d][column]: per-token variance is square - mean^2.
LoadNoise noise_of(const std::vector<double>& domain_tokens, const Table& mean, const Table& square, double table_tokens) {
  LoadNoise result;
  for (std::int64_t d = 0; d < mean.rows; ++d) {
    double per_token = 0;
    for (std::int64_t c = 0; c < mean.columns; ++c) per_token += square.at(d, c) - mean.at(d, c) * mean.at(d, c);
    per_token /= static_cast<double>(mean.columns);
    const double n = domain_tokens[static_cast<std::size_t>(d)];
    result.sample += n * n * per_token / table_tokens;
    result.tokens += n * per_token;
  }
  return result;
}

std::vector<double> weighted(const std::vector<double>& domain_tokens, const Table& mean) {
  const Eigen::Map<const Eigen::RowVectorXd> weights(domain_tokens.data(), static_cast<Eigen::Index>(domain_tokens.size()));
  return to_vector((weights * view(mean)).transpose());
}

// [rail][domain] tokens.
Table by_rail(const Table& sources, const ExpertGroup& group) {
  Table of_rail(std::min(group.ranks, group.ranks_per_node), sources.columns);
  for (std::int64_t s = 0; s < group.ranks; ++s)
    for (std::int64_t d = 0; d < sources.columns; ++d) of_rail.at(s % group.ranks_per_node, d) += sources.at(s, d);
  return of_rail;
}

// Per rank, the busier direction of its NIC over the mean. What it receives comes from the few senders of its rail, so their mix of
// domains decides; what it sends is nearly even.
std::vector<double> nic_load(const RoutingTables& tables, const Table& sources, const NicCopies& nic, const ExpertGroup& group) {
  LoadNoise noise;
  const std::int64_t nodes = node_count(group), domains = tables.node_copies.rows;
  const double nics = static_cast<double>(group.ranks_per_node * nodes);
  const Table of_rail = by_rail(sources, group);
  for (std::int64_t rail = 0; rail < group.ranks_per_node; ++rail)
    for (std::int64_t n = 0; n < nodes; ++n)
      for (std::int64_t d = 0; d < domains; ++d) {
        const std::int64_t inside = n * group.ranks_per_node + rail;
        const double senders = of_rail.at(rail, d) - (inside < group.ranks ? sources.at(inside, d) : 0);
        const double p = tables.node_copies.at(d, n), per_token = p * (1 - p);
        noise.sample += senders * senders * per_token / tables.tokens / nics;
        noise.tokens += senders * per_token / nics;
      }
  std::vector<double> load = over_mean(nic.received, noise);
  const std::vector<double> sent = over_mean(nic.sent);
  for (std::size_t r = 0; r < load.size(); ++r) load[r] = std::max(load[r], sent[r]);
  return load;
}

void set_expert_ratios(LayerRouting& routing, const std::vector<double>& ratios) {
  routing.tokens_per_expert_max_over_mean = largest(ratios);
  routing.tokens_per_expert_variation = statistics_of(ratios).coefficient_of_variation;
}

// rank_copies: by source rank, or by rail.
void set_wires(LayerRouting& routing, const RoutingTables& tables, const Table& sources, const ExpertGroup& group, const Table& rank_copies,
               const Table& node_copies) {
  const double tokens = sum_of(sources.value);
  routing.nodes_per_token = sum_of(node_copies.value) / tokens;
  if (group.ranks == 1) return;
  routing.local_ranks_per_token = copies_over_nvlink(rank_copies, group) / tokens;
  routing.kept_per_token = sum_of(rank_copies.value) / tokens - routing.local_ranks_per_token;
  if (node_copies.columns == 1) return;
  const NicCopies nic = nic_copies(node_copies, group);
  routing.remote_nodes_per_token = sum_of(nic.sent) / tokens;
  routing.scale_out = nic_load(tables, sources, nic, group);
  routing.scale_out_max_over_mean = largest(routing.scale_out);
}

// What every rank keeps for every expert.
struct Kept {
  Table asked, kept;          // [source rank][expert] copies
  std::vector<double> noise;  // [expert] variance of the tokens, summed over sources
  std::vector<double> error;  // ... of the table
};

Kept keep(const RoutingTables& tables, const Table& sources, const ExpertCapacity& capacity) {
  const std::int64_t experts = tables.expert_load.columns;
  const Matrix one_token = view(tables.expert_load).array() * (1 - view(tables.expert_load).array());
  Kept result{to_table(view(sources) * view(tables.expert_load)), Table(sources.rows, experts), {}, {}};
  const Matrix variance = view(sources) * one_token;
  Matrix slope(sources.rows, experts);
  result.noise.assign(static_cast<std::size_t>(experts), 0.0);
  for (std::int64_t s = 0; s < sources.rows; ++s)
    for (std::int64_t e = 0; e < experts; ++e) {
      const KeptLoad load = kept_load(result.asked.at(s, e), variance(s, e), capacity.tokens);
      result.kept.at(s, e) = load.mean;
      result.noise[static_cast<std::size_t>(e)] += load.variance;
      slope(s, e) = load.slope;
    }
  const Matrix passed = view(sources).transpose() * slope;  // [domain][expert] tokens whose number still counts
  result.error = to_vector((passed.array().square() * one_token.array()).colwise().sum().transpose() / tables.tokens);
  return result;
}

// Copies that are still sent to each place (rank or node), [source rank][place].
Table copies_left(const RoutingTables& tables, const Table& sources, const Table& pairs, const Matrix& kept_share) {
  const std::int64_t columns = tables.top_k + 1, places = kept_share.cols();
  const Matrix mixed = view(sources) * view(pairs);
  Table result(sources.rows, places);
  for (std::int64_t s = 0; s < sources.rows; ++s)
    for (std::int64_t p = 0; p < places; ++p) {
      double all_dropped = 1;
      for (std::int64_t j = 1; j < columns; ++j) {
        all_dropped *= 1 - kept_share(s, p);
        result.at(s, p) += mixed(s, p * columns + j) * (1 - all_dropped);
      }
    }
  return result;
}

// Share of what was asked that is kept, of the experts at each place.
Matrix kept_shares(const Kept& kept, const Matrix& place_of_expert) {
  const Matrix asked = view(kept.asked) * place_of_expert, served = view(kept.kept) * place_of_expert;
  return (asked.array() > 0).select(served.array() / asked.array().max(1e-300), 1.0);
}

// [expert][rank or node] share of the expert's tokens that go there.
Matrix places(const Placement& placement, std::int64_t ranks_per_place, std::int64_t count) {
  Matrix result = Matrix::Zero(placement.experts(), count);
  for (std::size_t e = 0; e < placement.homes.size(); ++e)
    for (const std::uint16_t r : placement.homes[e])
      result(static_cast<Eigen::Index>(e), r / ranks_per_place) += 1.0 / static_cast<double>(placement.homes[e].size());
  return result;
}

double mean_of(const std::vector<double>& values) { return sum_of(values) / static_cast<double>(values.size()); }

LayerRouting padded(const RoutingTables& tables, const Table& sources, const ExpertGroup& group, const ExpertCapacity& capacity) {
  const Matrix rank_of_expert = places(tables.placement, 1, group.ranks);
  const std::vector<double> experts_of_rank = to_vector(rank_of_expert.colwise().sum().transpose());
  const double tokens = sum_of(sources.value), senders = static_cast<double>(sources.rows);
  LayerRouting result;
  result.served =
      senders * capacity.tokens * static_cast<double>(tables.placement.experts()) / (tokens * static_cast<double>(tables.top_k));
  result.rank_load = over_mean(experts_of_rank);
  result.rank_load_max_over_mean = largest(result.rank_load);
  // Every rank sends every other one the rows of its experts; the wires between two GPUs, no copy stands for others.
  std::vector<double> received(static_cast<std::size_t>(group.ranks), 0.0), sent = received;
  double local = 0;
  for (std::int64_t s = 0; s < group.ranks; ++s)
    for (std::int64_t r = 0; r < group.ranks; ++r) {
      if (s == r) continue;
      const double rows = capacity.tokens * experts_of_rank[static_cast<std::size_t>(r)];
      if (node_of(s, group) == node_of(r, group)) {
        local += rows;
        continue;
      }
      sent[static_cast<std::size_t>(s)] += rows;
      received[static_cast<std::size_t>(r)] += rows;
    }
  result.local_ranks_per_token = local / tokens;
  result.remote_nodes_per_token = sum_of(sent) / tokens;
  if (result.remote_nodes_per_token <= 0) return result;
  result.scale_out = over_mean(received);
  const std::vector<double> out = over_mean(sent);
  for (std::size_t r = 0; r < out.size(); ++r) result.scale_out[r] = std::max(result.scale_out[r], out[r]);
  result.scale_out_max_over_mean = largest(result.scale_out);
  return result;
}

}  // namespace

RoutingTables tabulate(const std::vector<TokenChoices>& by_domain, const Placement& placement, const ExpertGroup& group) {
  CHECK(!by_domain.empty() && placement.ranks == group.ranks);
  const std::int64_t domains = static_cast<std::int64_t>(by_domain.size());
  RoutingTables tables;
  tables.tokens = static_cast<double>(by_domain[0].tokens());
  tables.top_k = by_domain[0].top_k;
  tables.placement = placement;
  const std::int64_t columns = tables.top_k + 1;
  tables.expert_load = Table(domains, placement.experts());
  tables.rank_load = tables.rank_load_square = tables.rank_copies = Table(domains, group.ranks);
  tables.node_copies = Table(domains, node_count(group));
  tables.rank_pairs = Table(domains, group.ranks * columns);
  tables.node_pairs = Table(domains, node_count(group) * columns);
  Footprint footprint(placement, group);
  const double one = 1.0 / tables.tokens;
  for (std::int64_t d = 0; d < domains; ++d) {
    const TokenChoices& choices = by_domain[static_cast<std::size_t>(d)];
    CHECK(static_cast<double>(choices.tokens()) == tables.tokens);
    for (std::int64_t t = 0; t < choices.tokens(); ++t) {
      footprint.visit(choices.of(t), t);
      for (const std::uint16_t e : choices.of(t)) tables.expert_load.at(d, e) += one;
      for (const std::size_t r : footprint.ranks())
        tables.rank_pairs.at(d, static_cast<std::int64_t>(r) * columns + footprint.pairs_on_rank(r)) += one;
      for (const std::size_t n : footprint.nodes())
        tables.node_pairs.at(d, static_cast<std::int64_t>(n) * columns + footprint.pairs_on_node(n)) += one;
    }
    for (std::int64_t r = 0; r < group.ranks; ++r)
      for (std::int64_t j = 1; j < columns; ++j) {
        const double p = tables.rank_pairs.at(d, r * columns + j), pairs = static_cast<double>(j);
        tables.rank_copies.at(d, r) += p;
        tables.rank_load.at(d, r) += p * pairs;
        tables.rank_load_square.at(d, r) += p * pairs * pairs;
      }
    for (std::int64_t n = 0; n < node_count(group); ++n)
      for (std::int64_t j = 1; j < columns; ++j) tables.node_copies.at(d, n) += tables.node_pairs.at(d, n * columns + j);
  }
  return tables;
}

LayerRouting micro_batch_routing(const RoutingTables& tables, const Table& sources, const ExpertGroup& group) {
  CHECK(sources.rows == group.ranks && sources.columns == tables.expert_load.rows);
  const std::vector<double> domain_tokens = tokens_by_domain(sources);
  CHECK(sum_of(domain_tokens) > 0);
  LayerRouting result;
  const LoadNoise expert = noise_of(domain_tokens, tables.expert_load, tables.expert_load, tables.tokens);  // 0 or 1: its own square
  const LoadNoise rank = noise_of(domain_tokens, tables.rank_load, tables.rank_load_square, tables.tokens);
  set_expert_ratios(result, over_mean(weighted(domain_tokens, tables.expert_load), expert));
  result.rank_load = over_mean(weighted(domain_tokens, tables.rank_load), rank);
  result.rank_load_max_over_mean = largest(result.rank_load);
  set_wires(result, tables, sources, group, to_table(view(by_rail(sources, group)) * view(tables.rank_copies)),
            to_table(view(sources) * view(tables.node_copies)));
  return result;
}

LayerRouting capped_routing(const RoutingTables& tables, const Table& sources, const ExpertGroup& group, const ExpertCapacity& capacity) {
  CHECK(sources.rows == group.ranks && sources.columns == tables.expert_load.rows);
  const Kept kept = keep(tables, sources, capacity);
  const Matrix rank_of_expert = places(tables.placement, 1, group.ranks);
  const Matrix node_of_expert = places(tables.placement, group.ranks_per_node, node_count(group));
  const std::vector<double> experts = to_vector(view(kept.kept).colwise().sum().transpose());
  const double served = sum_of(kept.kept.value) / sum_of(kept.asked.value);
  LayerRouting result = capacity.padded ? padded(tables, sources, group, capacity) : LayerRouting{};
  result.dropped_share = std::max(0.0, 1 - served);
  const Table nodes = copies_left(tables, sources, tables.node_pairs, kept_shares(kept, node_of_expert));
  if (capacity.padded) {
    result.nodes_per_token = sum_of(nodes.value) / sum_of(sources.value);
    return result;
  }
  result.served = served;
  set_expert_ratios(result, over_mean(experts, {mean_of(kept.error), mean_of(kept.noise)}));
  const Matrix squared = rank_of_expert.array().square();  // independent experts
  const auto of_ranks = [&](const std::vector<double>& of_experts, const Matrix& share) {
    return to_vector(
        (Eigen::Map<const Eigen::RowVectorXd>(of_experts.data(), static_cast<Eigen::Index>(of_experts.size())) * share).transpose());
  };
  result.rank_load =
      over_mean(of_ranks(experts, rank_of_expert), {mean_of(of_ranks(kept.error, squared)), mean_of(of_ranks(kept.noise, squared))});
  result.rank_load_max_over_mean = largest(result.rank_load);
  set_wires(result, tables, sources, group, copies_left(tables, sources, tables.rank_pairs, kept_shares(kept, rank_of_expert)), nodes);
  return result;
}

LayerLoad layer_load(const RoutingTables& tables) {
  LayerLoad result;
  const std::size_t domains = static_cast<std::size_t>(tables.expert_load.rows);
  const auto statistics = [&](const std::vector<double>& domain_tokens) {
    LoadNoise noise = noise_of(domain_tokens, tables.expert_load, tables.expert_load, tables.tokens);
    noise.tokens = 0;  // of as many tokens as there are
    return statistics_of(over_mean(weighted(domain_tokens, tables.expert_load), noise));
  };
  result.all_data = statistics(std::vector<double>(domains, 1.0));
  for (std::size_t d = 0; d < domains; ++d) {
    std::vector<double> alone(domains, 0.0);
    alone[d] = 1;
    result.domains.push_back(statistics(alone));
  }
  return result;
}

}  // namespace trillion
