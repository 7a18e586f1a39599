// One MoE layer: its router as training leaves it, where its experts live, and which sequences a micro-batch brings. What
// moe/expert_load.h aggregates and moe/drawn_traffic.h follows token by token; the same draws for one seed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "sim/moe/capacity.h"
#include "sim/moe/expert_load.h"
#include "sim/moe/gate.h"
#include "sim/moe/routing_tables.h"

namespace trillion {

// What stays the same from layer to layer.
struct RoutingSetting {
  const Plan& plan;
  const Training& training;
  const ExpertGroup& group;
  GateShape gate;
  std::optional<ExpertCapacity> capacity;
  std::uint64_t seed = 0;

  LayerRouting routing(const RoutingTables& tables, const Table& sources) const;
};
// REQUIRES: model.moe, a group with tokens.
RoutingSetting routing_setting(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group,
                               std::uint64_t seed);

// What a layer's tokens choose, whoever holds the experts: all groups share it.
struct RoutedLayer {
  Gate gate;
  std::vector<TokenChoices> choices;  // [domain]
};
// Under routing.balance, which is neither forced nor measured.
RoutedLayer route_layer(const GateShape& gate, const Routing& routing, std::uint64_t seed, std::int64_t layer);

struct LayerDraw {
  Gate gate;
  RoutingTables tables;  // with the placement
};
LayerDraw draw_layer(const RoutingSetting& setting, const RoutedLayer& routed);
LayerDraw draw_layer(const RoutingSetting& setting, std::int64_t layer);
// Of a gate without skew: Balance::forced.
LayerDraw draw_even_layer(const RoutingSetting& setting);
// Of a gate whose popularity reproduces the counts, which themselves stand as the tables' expert loads: Balance::measured.
LayerDraw draw_measured_layer(const RoutingSetting& setting, std::int64_t layer, const std::vector<double>& counts);

// training.routing.loads by layer, every expert of the layer. Throws InputError (see expert_load_measured).
std::map<std::int64_t, std::vector<double>> measured_layers(const RoutingSetting& setting);

// Whether popularity is gone, which otherwise makes layers very different.
constexpr bool evens_out_all_data(Balance balance) { return balance == Balance::loss_free || balance == Balance::auxiliary_batch; }

// Which domain each rank's tokens belong to, [rank][domain]. Sequences lie one after the other over the ranks; each has one domain.
Table draw_sources(const RoutingSetting& setting, std::int64_t domains, std::int64_t layer, std::int64_t micro_batch);

// Runs of `tokens` tokens of each domain.
std::vector<TokenChoices> choices_by_domain(const Gate& gate, std::int64_t tokens, const Random& random);

// What does not depend on how many tokens a rank has: the layer over its experts' ranks.
struct PlacedLayer {
  std::int64_t domains = 0;
  RoutingTables tables;
  LayerLoad load;
  double free_nodes = 0, free_remote_nodes = 0;  // per token, if the gate had no node limit; 0 where it has none
};
PlacedLayer placed_layer(const RoutingSetting& setting, const LayerDraw& drawn, std::int64_t layer);

// expert_load() of moe/expert_load.h for groups that share routers, choices and places: most of the time that a draw takes. A search makes
// these once, for the usual sample. Empty: balance is forced or measured, nothing is to be shared.
std::vector<RoutedLayer> routed_layers(const Model& model, const Training& training, std::uint64_t seed);
// REQUIRES: `placed` is placed_layer() of draw_layer() of each of routed_layers(), not empty; `sample` is the usual one.
ExpertLoad expert_load(const RoutingSetting& setting, const RoutingSample& sample, const std::vector<PlacedLayer>& placed);

}  // namespace trillion
