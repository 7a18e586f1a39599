#include "sim/moe/layer_draw.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "sim/base/error.h"
#include "sim/base/random.h"
#include "sim/moe/balancing.h"
#include "sim/moe/load_statistics.h"
#include "sim/moe/placement.h"

namespace trillion {
namespace {

constexpr std::int64_t kTokensPerDomain = 2048;        // of a balanced gate
constexpr std::int64_t kTokensPerSkewedDomain = 1024;  // of one whose skew is large beside the tokens' noise
constexpr std::int64_t kUniformTokens = 16384;
constexpr std::int64_t kFitRounds = 8;
constexpr std::int64_t kFitTokens = 4096;

constexpr std::uint64_t kStreamToken = 0x746f6b;
constexpr std::uint64_t kStreamSequence = 0x736571;
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

Placement placement_of(const RoutingSetting& s, const Seen& seen) {
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

// A gate whose expected loads are these: shares of a threshold are proportional to weights, the node limit and saturation are fitted.
Gate gate_of_loads(const GateShape& shape, const std::vector<double>& loads, const Random& random) {
  const double total = sum_of(loads), experts = static_cast<double>(loads.size());
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

}  // namespace

LayerRouting RoutingSetting::routing(const RoutingTables& tables, const Table& sources) const {
  return capacity ? capped_routing(tables, sources, group, *capacity) : micro_batch_routing(tables, sources, group);
}

RoutingSetting routing_setting(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group,
                               std::uint64_t seed) {
  CHECK(model.moe.has_value());
  CHECK(group.ranks >= 1 && group.ranks_per_node >= 1 && group.tokens_per_rank >= 1);
  const GateShape gate = gate_shape(*model.moe);
  return {plan, training, group, gate, expert_capacity(training.routing, gate, group.tokens_per_rank), seed};
}

RoutedLayer route_layer(const GateShape& shape, const Routing& routing, std::uint64_t seed, std::int64_t layer) {
  const auto number = static_cast<std::uint64_t>(layer);
  Gate gate = balanced_gate(shape, routing, seed, number);
  const std::int64_t tokens = evens_out_all_data(routing.balance) ? kTokensPerDomain : kTokensPerSkewedDomain;
  std::vector<TokenChoices> choices = choices_by_domain(gate, tokens, Random(seed, mix64(kStreamToken) + number));
  return {std::move(gate), std::move(choices)};
}

LayerDraw draw_layer(const RoutingSetting& s, const RoutedLayer& routed) {
  const Placement placement = placement_of(s, seen_in(routed.choices, s.gate.experts));
  return {routed.gate, tabulate(routed.choices, placement, s.group)};
}

LayerDraw draw_layer(const RoutingSetting& s, std::int64_t layer) {
  return draw_layer(s, route_layer(s.gate, s.training.routing, s.seed, layer));
}

LayerDraw draw_even_layer(const RoutingSetting& s) {
  Gate gate(s.gate, draw_affinities(s.gate.experts, {}, s.seed, 0));
  const std::vector<TokenChoices> choices = choices_by_domain(gate, kUniformTokens, Random(s.seed, kStreamToken));
  const Placement placement = placement_of(s, seen_in(choices, s.gate.experts));
  return {std::move(gate), tabulate(choices, placement, s.group)};
}

LayerDraw draw_measured_layer(const RoutingSetting& s, std::int64_t layer, const std::vector<double>& counts) {
  const Random random(s.seed, mix64(kStreamToken) + static_cast<std::uint64_t>(layer));
  Gate gate = gate_of_loads(s.gate, counts, Random(random.bits(0), 1));
  const std::vector<TokenChoices> choices = choices_by_domain(gate, kUniformTokens, Random(random.bits(1), 2));
  const Placement placement = placement_of(s, {counts, seen_in(choices, s.gate.experts).choices});
  RoutingTables tables = tabulate(choices, placement, s.group);
  const double total = sum_of(counts);
  for (std::size_t e = 0; e < counts.size(); ++e)
    tables.expert_load.at(0, static_cast<std::int64_t>(e)) = std::min(1.0, counts[e] / total * static_cast<double>(s.gate.top_k));
  return {std::move(gate), std::move(tables)};
}

std::map<std::int64_t, std::vector<double>> measured_layers(const RoutingSetting& setting) {
  const std::vector<ExpertCount>& loads = setting.training.routing.loads;
  const std::int64_t experts = setting.gate.experts;
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
    if (sum_of(counts) <= 0) throw InputError("measured expert loads: layer " + std::to_string(layer) + " has no tokens");
  return by_layer;
}

Table draw_sources(const RoutingSetting& s, std::int64_t domains, std::int64_t layer, std::int64_t micro_batch) {
  const Random random(
      s.seed, mix64(kStreamSequence) + static_cast<std::uint64_t>(layer) * kMostMicroBatches + static_cast<std::uint64_t>(micro_batch));
  Table sources(s.group.ranks, domains);
  const std::int64_t length = std::max<std::int64_t>(1, s.training.sequence_length);
  for (std::int64_t r = 0; r < s.group.ranks; ++r)
    for (std::int64_t at = r * s.group.tokens_per_rank, end = at + s.group.tokens_per_rank; at < end;) {
      const std::int64_t sequence = at / length, next = std::min(end, (sequence + 1) * length);
      const double draw = random.uniform(static_cast<std::uint64_t>(sequence)) * static_cast<double>(domains);
      sources.at(r, std::min(domains - 1, static_cast<std::int64_t>(draw))) += static_cast<double>(next - at);
      at = next;
    }
  return sources;
}

std::vector<TokenChoices> choices_by_domain(const Gate& gate, std::int64_t tokens, const Random& random) {
  std::vector<TokenChoices> by_domain(static_cast<std::size_t>(gate.domains()));
  for (std::int64_t d = 0; d < gate.domains(); ++d) gate.route({d, d * tokens, tokens}, random, by_domain[static_cast<std::size_t>(d)]);
  return by_domain;
}

}  // namespace trillion
