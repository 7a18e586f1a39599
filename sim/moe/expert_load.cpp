#include "sim/moe/expert_load.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include "sim/base/error.h"
#include "sim/base/random.h"
#include "sim/moe/balancing.h"
#include "sim/moe/capacity.h"
#include "sim/moe/gate.h"
#include "sim/moe/placement.h"
#include "sim/moe/routing_tables.h"

namespace trillion {
namespace {

constexpr std::int64_t kTokensPerDomain = 2048;        // of a balanced gate
constexpr std::int64_t kTokensPerSkewedDomain = 1024;  // of one whose skew is large beside the tokens' noise
constexpr std::int64_t kFreeTokensPerDomain = 128;     // for the gate without node limit, of which only a mean is asked
constexpr std::int64_t kUniformTokens = 16384;
constexpr std::int64_t kFitRounds = 8;
constexpr std::int64_t kFitTokens = 4096;

constexpr std::uint64_t kStreamToken = 0x746f6b;
constexpr std::uint64_t kStreamSequence = 0x736571;
constexpr std::uint64_t kStreamPick = 0x706963;
constexpr std::uint64_t kStreamFree = 0x667265;
constexpr std::uint64_t kMostMicroBatches = 1 << 20;  // of one layer: their mixes have numbers of their own

// What a placement can be made from: the loads of one layer's experts over all data, and tokens' choices.
struct Seen {
  std::vector<double> loads;
  TokenChoices choices;
};

Seen seen_in(const std::vector<TokenChoices>& by_domain, std::int64_t experts) {
  Seen seen{std::vector<double>(static_cast<std::size_t>(experts), 0.0), {}};
  seen.choices.top_k = by_domain.front().top_k;
  for (const TokenChoices& choices : by_domain) {
    for (const std::uint16_t e : choices.expert) seen.loads[e] += 1;
    seen.choices.expert.insert(seen.choices.expert.end(), choices.expert.begin(), choices.expert.end());
  }
  return seen;
}

// What stays the same from layer to layer.
struct Setting {
  const Plan& plan;
  const ExpertGroup& group;
  GateShape gate;
  std::optional<ExpertCapacity> capacity;

  LayerRouting routing(const RoutingTables& tables, const Table& sources) const {
    return capacity ? capped_routing(tables, sources, group, *capacity) : micro_batch_routing(tables, sources, group);
  }
};

Setting setting_of(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group) {
  CHECK(model.moe.has_value());
  CHECK(group.ranks >= 1 && group.ranks_per_node >= 1 && group.tokens_per_rank >= 1);
  const GateShape gate = gate_shape(*model.moe);
  return {plan, group, gate, expert_capacity(training.routing, gate, group.tokens_per_rank)};
}

Placement placement_of(const Setting& s, const Seen& seen) {
  const std::int64_t experts = s.gate.experts, ranks = s.group.ranks;
  switch (s.plan.expert_placement) {
    case ExpertPlacement::contiguous: break;
    case ExpertPlacement::round_robin: return round_robin_placement(experts, ranks);
    case ExpertPlacement::load_balanced:
      return balanced_placement(seen.loads, {ranks, s.group.ranks_per_node, s.gate.groups, experts + s.plan.redundant_experts});
    case ExpertPlacement::traffic_minimising: return traffic_minimising_placement(seen.choices, experts, s.group);
  }
  return contiguous_placement(experts, ranks);
}

// Which domain each rank's tokens belong to. Sequences lie one after the other over the ranks; each has one domain.
Table draw_sources(const Training& training, const ExpertGroup& group, std::int64_t domains, const Random& random) {
  Table sources(group.ranks, domains);
  const std::int64_t length = std::max<std::int64_t>(1, training.sequence_length);
  for (std::int64_t r = 0; r < group.ranks; ++r)
    for (std::int64_t at = r * group.tokens_per_rank, end = at + group.tokens_per_rank; at < end;) {
      const std::int64_t sequence = at / length, next = std::min(end, (sequence + 1) * length);
      const double draw = random.uniform(static_cast<std::uint64_t>(sequence)) * static_cast<double>(domains);
      sources.at(r, std::min(domains - 1, static_cast<std::int64_t>(draw))) += static_cast<double>(next - at);
      at = next;
    }
  return sources;
}

std::vector<TokenChoices> sample_choices(const Gate& gate, std::int64_t tokens, const Random& random) {
  std::vector<TokenChoices> by_domain(static_cast<std::size_t>(gate.domains()));
  for (std::int64_t d = 0; d < gate.domains(); ++d) gate.route({d, d * tokens, tokens}, random, by_domain[static_cast<std::size_t>(d)]);
  return by_domain;
}

LayerRouting mean_of(const std::vector<LayerRouting>& samples) {
  LayerRouting mean{0, 0, 0, 0, 0, 0, {}, {}, 0, 0, 0};
  const double share = 1.0 / static_cast<double>(samples.size());
  for (const LayerRouting& s : samples) {
    mean.tokens_per_expert_max_over_mean += share * s.tokens_per_expert_max_over_mean;
    mean.rank_load_max_over_mean += share * s.rank_load_max_over_mean;
    mean.scale_out_max_over_mean += share * s.scale_out_max_over_mean;
    mean.remote_nodes_per_token += share * s.remote_nodes_per_token;
    mean.local_ranks_per_token += share * s.local_ranks_per_token;
    mean.nodes_per_token += share * s.nodes_per_token;
    mean.tokens_per_expert_variation += share * s.tokens_per_expert_variation;
    mean.dropped_share += share * s.dropped_share;
    mean.served += share * s.served;
  }
  return mean;
}

// Every sample's ranks in rows of the mean sample.
void finish(ExpertLoad& load) {
  double served = 0;
  for (const LayerRouting& s : load.samples) served += s.served;
  served /= static_cast<double>(load.samples.size());
  for (LayerRouting& s : load.samples) {
    if (s.served == served) continue;
    for (double& ratio : s.rank_load) ratio *= s.served / served;
    s.rank_load_max_over_mean *= s.served / served;
  }
  load.mean = mean_of(load.samples);
  load.mean.served = served;
}

// Nodes that a token would visit if the gate had no node limit; every rank's tokens are alike.
void add_free_nodes(ExpertLoad& load, const Gate& gate, const Placement& placement, const ExpertGroup& group, const Random& random) {
  if (!gate.shape().limited()) return;
  const RoutingTables tables = tabulate(sample_choices(gate.without_limit(), kFreeTokensPerDomain, random), placement, group);
  const double domains = static_cast<double>(gate.domains()), ranks = static_cast<double>(group.ranks);
  for (std::int64_t d = 0; d < gate.domains(); ++d)
    for (std::int64_t n = 0; n < node_count(group); ++n) {
      const double copies = tables.node_copies.at(d, n) / domains;
      load.free_nodes_per_token += copies;
      load.free_remote_nodes_per_token += copies * (1 - static_cast<double>(node_size(n, group)) / ranks);
    }
}

// ... mean over the layers that were added.
void finish_free_nodes(ExpertLoad& load, bool limited, std::size_t layers) {
  if (limited) {
    load.free_nodes_per_token /= static_cast<double>(layers);
    load.free_remote_nodes_per_token /= static_cast<double>(layers);
    return;
  }
  load.free_nodes_per_token = load.mean.nodes_per_token;
  load.free_remote_nodes_per_token = load.mean.remote_nodes_per_token;
}

// Experts are equal by decree: a rank's load is the number of its experts, a capacity drops what is beyond it of everyone alike. Where
// tokens go follows from an unskewed gate.
ExpertLoad forced_load(const Setting& s, std::uint64_t seed) {
  const Gate gate(s.gate, draw_affinities(s.gate.experts, {}, seed, 0));
  const std::vector<TokenChoices> choices = sample_choices(gate, kUniformTokens, Random(seed, kStreamToken));
  const Placement placement = placement_of(s, seen_in(choices, s.gate.experts));
  const RoutingTables tables = tabulate(choices, placement, s.group);
  Table sources(s.group.ranks, 1);
  std::fill(sources.value.begin(), sources.value.end(), static_cast<double>(s.group.tokens_per_rank));
  ExpertLoad load;
  LayerRouting result = s.routing(tables, sources);
  if (!s.capacity || !s.capacity->padded) {
    std::vector<double> experts_of_rank(static_cast<std::size_t>(s.group.ranks), 0.0);
    for (const std::vector<std::uint16_t>& homes : placement.homes)
      for (const std::uint16_t r : homes) experts_of_rank[r] += 1.0 / static_cast<double>(homes.size());
    result.rank_load = over_mean(experts_of_rank);
    result.rank_load_max_over_mean = max_over_mean(experts_of_rank);
  }
  if (s.capacity) {
    const double even = static_cast<double>(s.group.tokens_per_rank * s.gate.top_k) / static_cast<double>(s.gate.experts);
    result.dropped_share = std::max(0.0, 1 - s.capacity->tokens / even);
    if (!s.capacity->padded) result.served = 1 - result.dropped_share;
  }
  result.tokens_per_expert_max_over_mean = result.scale_out_max_over_mean = 1;
  result.tokens_per_expert_variation = 0;
  result.scale_out.clear();
  if (result.rank_load_max_over_mean == 1) result.rank_load.clear();
  load.samples.push_back(result);
  finish(load);
  add_free_nodes(load, gate, placement, s.group, Random(seed, kStreamFree));
  finish_free_nodes(load, s.gate.limited(), 1);
  return load;
}

// A gate whose expected loads are these: shares of a threshold are proportional to weights, the node limit and saturation are fitted.
Gate gate_of_loads(const GateShape& shape, const std::vector<double>& loads, const Random& random) {
  const double total = std::accumulate(loads.begin(), loads.end(), 0.0), experts = static_cast<double>(loads.size());
  Affinities affinities{1, shape.experts, std::vector<double>(loads.size())};
  for (std::size_t e = 0; e < loads.size(); ++e) affinities.log_weight[e] = std::log(std::max(loads[e] / total * experts, 1e-6));
  for (std::int64_t round = 0; round < kFitRounds; ++round) {
    TokenChoices choices;
    Gate(shape, affinities).route({0, round * kFitTokens, kFitTokens}, random, choices);
    std::vector<double> seen(loads.size(), 0.5);  // half a token: an expert that was not drawn is rare, not impossible
    for (const std::uint16_t e : choices.expert) seen[e] += 1;
    const double per_count = static_cast<double>(choices.expert.size()) / total;
    for (std::size_t e = 0; e < loads.size(); ++e) {
      const double correction = std::log((loads[e] * per_count + 0.5) / seen[e]) / static_cast<double>(round + 1);
      affinities.log_weight[e] = std::clamp(affinities.log_weight[e] + correction, -20.0, 20.0);
    }
  }
  return Gate(shape, affinities);
}

// The tables of a gate that reproduces the counts, which themselves stand for its expert loads.
RoutingTables measured_tables(const Gate& gate, const std::vector<double>& loads, const Setting& s, const Random& random) {
  const std::vector<TokenChoices> choices = sample_choices(gate, kUniformTokens, random);
  const Placement placement = placement_of(s, {loads, seen_in(choices, s.gate.experts).choices});
  RoutingTables tables = tabulate(choices, placement, s.group);
  const double total = std::accumulate(loads.begin(), loads.end(), 0.0);
  for (std::size_t e = 0; e < loads.size(); ++e)
    tables.expert_load.at(0, static_cast<std::int64_t>(e)) = std::min(1.0, loads[e] / total * static_cast<double>(s.gate.top_k));
  return tables;
}

// Ratios are the counts' own, or what a capacity leaves of them.
LayerRouting measured_routing(const RoutingTables& tables, const std::vector<double>& loads, const Setting& s) {
  Table sources(s.group.ranks, 1);
  std::fill(sources.value.begin(), sources.value.end(), static_cast<double>(s.group.tokens_per_rank));
  LayerRouting result = s.routing(tables, sources);
  if (s.capacity) return result;
  std::vector<double> by_rank(static_cast<std::size_t>(s.group.ranks), 0.0);
  for (std::size_t e = 0; e < loads.size(); ++e)
    for (const std::uint16_t r : tables.placement.homes[e]) by_rank[r] += loads[e] / static_cast<double>(tables.placement.homes[e].size());
  const LoadStatistics experts = statistics_of(loads);
  result.tokens_per_expert_max_over_mean = experts.max_over_mean;
  result.tokens_per_expert_variation = experts.coefficient_of_variation;
  result.rank_load_max_over_mean = max_over_mean(by_rank);
  result.rank_load = over_mean(by_rank);
  return result;
}

std::map<std::int64_t, std::vector<double>> loads_by_layer(const std::vector<ExpertCount>& loads, std::int64_t experts) {
  std::map<std::int64_t, std::vector<double>> by_layer;
  for (const ExpertCount& row : loads) {
    const std::string where = "measured expert loads: layer " + std::to_string(row.layer) + ", expert " + std::to_string(row.expert);
    if (row.expert < 0 || row.expert >= experts) throw InputError(where + ": the model has experts 0 to " + std::to_string(experts - 1));
    if (!std::isfinite(row.count) || row.count < 0) throw InputError(where + ": the count must be a finite number, not negative");
    std::vector<double>& layer = by_layer[row.layer];
    layer.resize(static_cast<std::size_t>(experts), 0.0);
    layer[static_cast<std::size_t>(row.expert)] += row.count;
  }
  if (by_layer.empty()) throw InputError("measured expert loads: no rows");
  for (const auto& [layer, counts] : by_layer)
    if (std::accumulate(counts.begin(), counts.end(), 0.0) <= 0)
      throw InputError("measured expert loads: layer " + std::to_string(layer) + " has no tokens");
  return by_layer;
}

}  // namespace

const LayerRouting& ExpertLoad::at(std::int64_t layer, std::int64_t micro_batch) const {
  CHECK(!samples.empty());
  const Random pick(seed, mix64(kStreamPick) + static_cast<std::uint64_t>(layer));
  return samples[pick.bits(static_cast<std::uint64_t>(micro_batch)) % samples.size()];
}

RoutingSample usual_sample(const Model& model, Balance balance) {
  if (has_bias(balance)) return {4, 24};
  constexpr std::int64_t kMostLayers = 64, kSamples = 96;
  std::int64_t layers = 0;
  for (std::int64_t l = 0; l < model.num_hidden_layers; ++l) layers += model.is_moe_layer(l) ? 1 : 0;
  layers = std::clamp<std::int64_t>(layers, 1, kMostLayers);
  return {layers, (kSamples + layers - 1) / layers};
}

ExpertLoad expert_load(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group, std::uint64_t seed) {
  return expert_load(model, plan, training, group, seed, usual_sample(model, training.routing.balance));
}

ExpertLoad expert_load(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group, std::uint64_t seed,
                       const RoutingSample& sample) {
  const Setting setting = setting_of(model, plan, training, group);
  const Balance balance = training.routing.balance;
  if (balance == Balance::measured) throw InputError("training.routing.balance is 'measured', but no measured expert loads were given");
  ExpertLoad result;
  if (balance == Balance::forced) result = forced_load(setting, seed);
  result.balance = balance;
  result.seed = seed;
  if (balance == Balance::forced) return result;
  for (std::int64_t layer = 0; layer < sample.layers; ++layer) {
    const auto number = static_cast<std::uint64_t>(layer);
    const Gate gate = balanced_gate(setting.gate, training.routing, seed, number);
    const Random tokens(seed, mix64(kStreamToken) + number);
    const std::vector<TokenChoices> choices = sample_choices(gate, has_bias(balance) ? kTokensPerDomain : kTokensPerSkewedDomain, tokens);
    const RoutingTables tables = tabulate(choices, placement_of(setting, seen_in(choices, setting.gate.experts)), group);
    result.layers.push_back(layer_load(tables));
    LayerLoad& loads = result.layers.back();
    loads.layer = layer;
    loads.micro_batch = {0, 0};
    for (std::int64_t m = 0; m < sample.micro_batches; ++m) {
      const Random sequences(seed, mix64(kStreamSequence) + number * kMostMicroBatches + static_cast<std::uint64_t>(m));
      result.samples.push_back(setting.routing(tables, draw_sources(training, group, gate.domains(), sequences)));
      const double share = 1.0 / static_cast<double>(sample.micro_batches);
      loads.micro_batch.max_over_mean += share * result.samples.back().tokens_per_expert_max_over_mean;
      loads.micro_batch.coefficient_of_variation += share * result.samples.back().tokens_per_expert_variation;
    }
    add_free_nodes(result, gate, tables.placement, group, Random(seed, mix64(kStreamFree) + number));
  }
  finish(result);
  finish_free_nodes(result, setting.gate.limited(), result.layers.size());
  return result;
}

ExpertLoad expert_load_measured(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group,
                                std::uint64_t seed) {
  const Setting setting = setting_of(model, plan, training, group);
  ExpertLoad result;
  result.balance = Balance::measured;
  result.seed = seed;
  for (const auto& [layer, counts] : loads_by_layer(training.routing.loads, setting.gate.experts)) {
    const Random random(seed, mix64(kStreamToken) + static_cast<std::uint64_t>(layer));
    const Gate gate = gate_of_loads(setting.gate, counts, Random(random.bits(0), 1));
    const RoutingTables tables = measured_tables(gate, counts, setting, Random(random.bits(1), 2));
    result.samples.push_back(measured_routing(tables, counts, setting));
    const LoadStatistics all = statistics_of(counts);
    result.layers.push_back({layer, all, all, {all}});
    add_free_nodes(result, gate, tables.placement, group, Random(random.bits(2), 3));
  }
  finish(result);
  finish_free_nodes(result, setting.gate.limited(), result.layers.size());
  return result;
}

}  // namespace trillion
