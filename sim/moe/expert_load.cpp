#include "sim/moe/expert_load.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include "sim/base/error.h"
#include "sim/base/random.h"
#include "sim/moe/balancing.h"
#include "sim/moe/dispatch.h"
#include "sim/moe/gate.h"
#include "sim/moe/placement.h"

namespace trillion {
namespace {

constexpr std::uint64_t kLayers = 4;
constexpr std::uint64_t kMicroBatches = 12;  // per layer
constexpr std::int64_t kTokensPerDomain = 2048;
constexpr std::int64_t kUniformTokens = 16384;
constexpr std::int64_t kFitRounds = 8;
constexpr std::int64_t kFitTokens = 4096;

constexpr std::uint64_t kStreamToken = 0x746f6b;
constexpr std::uint64_t kStreamSequence = 0x736571;
constexpr std::uint64_t kStreamPick = 0x706963;

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

Placement placement_of(const Plan& plan, std::int64_t experts, const ExpertGroup& group, const Seen& seen) {
  switch (plan.expert_placement) {
    case ExpertPlacement::contiguous: return contiguous_placement(experts, group.ranks);
    case ExpertPlacement::round_robin: return round_robin_placement(experts, group.ranks);
    case ExpertPlacement::load_balanced: return balanced_placement(seen.loads, {group.ranks, group.ranks_per_node, 1, experts});
    case ExpertPlacement::traffic_minimising:
      // Without whole nodes of equally many experts there is nothing to exchange.
      if (experts % node_count(group) != 0 || group.ranks % group.ranks_per_node != 0) return contiguous_placement(experts, group.ranks);
      return traffic_minimising_placement(seen.choices, experts, group);
  }
  return contiguous_placement(experts, group.ranks);
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
  LayerRouting mean{0, 0, 0, 0, 0, 0, {}, {}};
  const double share = 1.0 / static_cast<double>(samples.size());
  for (const LayerRouting& s : samples) {
    mean.tokens_per_expert_max_over_mean += share * s.tokens_per_expert_max_over_mean;
    mean.rank_load_max_over_mean += share * s.rank_load_max_over_mean;
    mean.scale_out_max_over_mean += share * s.scale_out_max_over_mean;
    mean.remote_nodes_per_token += share * s.remote_nodes_per_token;
    mean.local_ranks_per_token += share * s.local_ranks_per_token;
    mean.nodes_per_token += share * s.nodes_per_token;
  }
  return mean;
}

// Equal loads by decree; where tokens go follows from an unskewed gate.
LayerRouting forced_routing(const GateShape& shape, const Plan& plan, const ExpertGroup& group, std::uint64_t seed) {
  const Gate gate(shape, draw_affinities(shape.experts, {}, seed, 0));
  const std::vector<TokenChoices> choices = sample_choices(gate, kUniformTokens, Random(seed, kStreamToken));
  const RoutingTables tables = tabulate(choices, placement_of(plan, shape.experts, group, seen_in(choices, shape.experts)), group);
  Table sources(group.ranks, 1);
  std::fill(sources.value.begin(), sources.value.end(), 1.0);
  LayerRouting result = micro_batch_routing(tables, sources, group);
  result.tokens_per_expert_max_over_mean = result.rank_load_max_over_mean = result.scale_out_max_over_mean = 1;
  result.rank_load.clear();
  result.scale_out.clear();
  return result;
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

LayerRouting measured_routing(const Gate& gate, const std::vector<double>& loads, const Plan& plan, const ExpertGroup& group,
                              const Random& random) {
  const std::vector<TokenChoices> choices = sample_choices(gate, kUniformTokens, random);
  const auto experts = static_cast<std::int64_t>(loads.size());
  const Placement placement = placement_of(plan, experts, group, {loads, seen_in(choices, experts).choices});
  const RoutingTables tables = tabulate(choices, placement, group);
  Table sources(group.ranks, 1);
  std::fill(sources.value.begin(), sources.value.end(), static_cast<double>(group.tokens_per_rank));
  LayerRouting result = micro_batch_routing(tables, sources, group);
  std::vector<double> by_rank(static_cast<std::size_t>(group.ranks), 0.0);
  for (std::size_t e = 0; e < loads.size(); ++e)
    for (const std::uint16_t r : placement.homes[e]) by_rank[r] += loads[e] / static_cast<double>(placement.homes[e].size());
  result.tokens_per_expert_max_over_mean = max_over_mean(loads);
  result.rank_load_max_over_mean = max_over_mean(by_rank);
  const double mean = std::accumulate(by_rank.begin(), by_rank.end(), 0.0) / static_cast<double>(by_rank.size());
  for (std::size_t r = 0; r < by_rank.size(); ++r) result.rank_load[r] = by_rank[r] / mean;
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

ExpertLoad expert_load(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group, std::uint64_t seed) {
  CHECK(model.moe.has_value());
  CHECK(group.ranks >= 1 && group.ranks_per_node >= 1 && group.tokens_per_rank >= 1);
  const GateShape shape = gate_shape(*model.moe);
  ExpertLoad result;
  result.balance = training.routing.balance;
  result.seed = seed;
  if (result.balance == Balance::measured)
    throw InputError("training.routing.balance is 'measured', but no measured expert loads were given");
  if (result.balance == Balance::forced) {
    result.samples.push_back(forced_routing(shape, plan, group, seed));
    result.mean = result.samples[0];
    return result;
  }
  for (std::uint64_t layer = 0; layer < kLayers; ++layer) {
    const Gate gate = balanced_gate(shape, training.routing, seed, layer);
    const Random tokens(seed, mix64(kStreamToken) + layer);
    const std::vector<TokenChoices> choices = sample_choices(gate, kTokensPerDomain, tokens);
    const RoutingTables tables = tabulate(choices, placement_of(plan, shape.experts, group, seen_in(choices, shape.experts)), group);
    for (std::uint64_t m = 0; m < kMicroBatches; ++m) {
      const Random sequences(seed, mix64(kStreamSequence) + layer * kMicroBatches + m);
      result.samples.push_back(micro_batch_routing(tables, draw_sources(training, group, gate.domains(), sequences), group));
    }
  }
  result.mean = mean_of(result.samples);
  return result;
}

ExpertLoad expert_load_measured(const std::vector<ExpertCount>& loads, const Model& model, const Plan& plan, const ExpertGroup& group,
                                std::uint64_t seed) {
  CHECK(model.moe.has_value());
  CHECK(group.ranks >= 1 && group.ranks_per_node >= 1 && group.tokens_per_rank >= 1);
  const GateShape shape = gate_shape(*model.moe);
  ExpertLoad result;
  result.balance = Balance::measured;
  result.seed = seed;
  for (const auto& [layer, counts] : loads_by_layer(loads, shape.experts)) {
    const Random random(seed, mix64(kStreamToken) + static_cast<std::uint64_t>(layer));
    const Gate gate = gate_of_loads(shape, counts, Random(random.bits(0), 1));
    result.samples.push_back(measured_routing(gate, counts, plan, group, Random(random.bits(1), 2)));
  }
  result.mean = mean_of(result.samples);
  return result;
}

}  // namespace trillion
