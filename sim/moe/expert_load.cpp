#include "sim/moe/expert_load.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "sim/base/error.h"
#include "sim/base/random.h"
#include "sim/base/rounding.h"
#include "sim/moe/layer_draw.h"

namespace trillion {
namespace {

constexpr std::int64_t kFreeTokensPerDomain = 128;  // for the gate without node limit, of which only a mean is asked

constexpr std::uint64_t kStreamPick = 0x706963;
constexpr std::uint64_t kStreamFree = 0x667265;

LayerRouting mean_of(const std::vector<LayerRouting>& samples) {
  LayerRouting mean{0, 0, 0, 0, 0, 0, {}, {}, 0, 0, 0, 0};
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
    mean.kept_per_token += share * s.kept_per_token;
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

// Fewer samples whose busiest ranks are spread as those of all.
void thin(std::vector<LayerRouting>& samples, std::int64_t kept) {
  const std::size_t all = samples.size(), wanted = static_cast<std::size_t>(kept);
  if (wanted == 0 || wanted >= all) return;
  std::vector<std::size_t> order(all), chosen;
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return samples[a].rank_load_max_over_mean < samples[b].rank_load_max_over_mean; });
  for (std::size_t k = 0; k < wanted; ++k) chosen.push_back(order[(2 * k + 1) * all / (2 * wanted)]);
  std::sort(chosen.begin(), chosen.end());
  std::vector<LayerRouting> thinned;
  for (const std::size_t i : chosen) thinned.push_back(std::move(samples[i]));
  samples = std::move(thinned);
}

// Nodes that a token would visit if the gate had no node limit; every rank's tokens are alike.
struct FreeNodes {
  double all = 0, remote = 0;  // per token
};
FreeNodes free_nodes(const LayerDraw& layer, const ExpertGroup& group, const Random& random) {
  FreeNodes free;
  if (!layer.gate.shape().limited()) return free;
  const std::vector<TokenChoices> choices = choices_by_domain(layer.gate.without_limit(), kFreeTokensPerDomain, random);
  const RoutingTables tables = tabulate(choices, layer.tables.placement, group);
  const double domains = static_cast<double>(layer.gate.domains()), ranks = static_cast<double>(group.ranks);
  for (std::int64_t d = 0; d < layer.gate.domains(); ++d)
    for (std::int64_t n = 0; n < node_count(group); ++n) {
      const double copies = tables.node_copies.at(d, n) / domains;
      free.all += copies;
      free.remote += copies * (1 - static_cast<double>(node_size(n, group)) / ranks);
    }
  return free;
}

void add(ExpertLoad& load, const FreeNodes& free) {
  load.free_nodes_per_token += free.all;
  load.free_remote_nodes_per_token += free.remote;
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
ExpertLoad forced_load(const RoutingSetting& s) {
  const LayerDraw layer = draw_even_layer(s);
  Table sources(s.group.ranks, 1);
  std::fill(sources.value.begin(), sources.value.end(), static_cast<double>(s.group.tokens_per_rank));
  ExpertLoad load;
  LayerRouting result = s.routing(layer.tables, sources);
  if (!s.capacity || !s.capacity->padded) {
    std::vector<double> experts_of_rank(static_cast<std::size_t>(s.group.ranks), 0.0);
    for (const std::vector<std::uint16_t>& homes : layer.tables.placement.homes)
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
  add(load, free_nodes(layer, s.group, Random(s.seed, kStreamFree)));
  finish_free_nodes(load, s.gate.limited(), 1);
  return load;
}

// Ratios are the counts' own, or what a capacity leaves of them.
LayerRouting measured_routing(const RoutingTables& tables, const std::vector<double>& loads, const RoutingSetting& s) {
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

// `placed`: every layer of the sample; null: to be drawn here.
ExpertLoad drawn_load(const RoutingSetting& setting, const RoutingSample& sample, const std::vector<PlacedLayer>* placed) {
  const Balance balance = setting.training.routing.balance;
  if (balance == Balance::measured) throw InputError("training.routing.balance is 'measured', but no measured expert loads were given");
  ExpertLoad result;
  if (balance == Balance::forced) result = forced_load(setting);
  result.balance = balance;
  result.seed = setting.seed;
  if (balance == Balance::forced) return result;
  for (std::int64_t layer = 0; layer < sample.layers; ++layer) {
    std::optional<PlacedLayer> here;
    if (!placed) here = placed_layer(setting, draw_layer(setting, layer), layer);
    const PlacedLayer& drawn = here ? *here : placed->at(static_cast<std::size_t>(layer));
    result.layers.push_back(drawn.load);
    LayerLoad& loads = result.layers.back();
    loads.layer = layer;
    loads.micro_batch = {0, 0};
    for (std::int64_t m = 0; m < sample.micro_batches; ++m) {
      result.samples.push_back(setting.routing(drawn.tables, draw_sources(setting, drawn.domains, layer, m)));
      const double share = 1.0 / static_cast<double>(sample.micro_batches);
      loads.micro_batch.max_over_mean += share * result.samples.back().tokens_per_expert_max_over_mean;
      loads.micro_batch.coefficient_of_variation += share * result.samples.back().tokens_per_expert_variation;
    }
    add(result, {drawn.free_nodes, drawn.free_remote_nodes});
  }
  finish(result);
  thin(result.samples, sample.kept);
  finish_free_nodes(result, setting.gate.limited(), result.layers.size());
  return result;
}

}  // namespace

const LayerRouting& ExpertLoad::at(std::int64_t layer, std::int64_t micro_batch) const {
  CHECK(!samples.empty());
  const Random pick(seed, mix64(kStreamPick) + static_cast<std::uint64_t>(layer));
  return samples[pick.bits(static_cast<std::uint64_t>(micro_batch)) % samples.size()];
}

RoutingSample usual_sample(const Model& model, Balance balance) {
  if (evens_out_all_data(balance)) return {6, 64, 128};
  constexpr std::int64_t kMostLayers = 64, kSamples = 96;
  std::int64_t layers = 0;
  for (std::int64_t l = 0; l < model.num_hidden_layers; ++l) layers += model.is_moe_layer(l) ? 1 : 0;
  layers = std::clamp<std::int64_t>(layers, 1, kMostLayers);
  return {layers, divided_up(kSamples, layers), 0};
}

ExpertLoad expert_load(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group, std::uint64_t seed) {
  return expert_load(model, plan, training, group, seed, usual_sample(model, training.routing.balance));
}

ExpertLoad expert_load(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group, std::uint64_t seed,
                       const RoutingSample& sample) {
  return drawn_load(routing_setting(model, plan, training, group, seed), sample, nullptr);
}

std::vector<RoutedLayer> routed_layers(const Model& model, const Training& training, std::uint64_t seed) {
  CHECK(model.moe.has_value());
  const Balance balance = training.routing.balance;
  std::vector<RoutedLayer> out;
  if (balance == Balance::forced || balance == Balance::measured) return out;
  for (std::int64_t layer = 0; layer < usual_sample(model, balance).layers; ++layer) {
    out.push_back(route_layer(gate_shape(*model.moe), training.routing, seed, layer));
  }
  return out;
}

PlacedLayer placed_layer(const RoutingSetting& setting, const LayerDraw& drawn, std::int64_t layer) {
  const FreeNodes free = free_nodes(drawn, setting.group, Random(setting.seed, mix64(kStreamFree) + static_cast<std::uint64_t>(layer)));
  return {drawn.gate.domains(), drawn.tables, layer_load(drawn.tables), free.all, free.remote};
}

ExpertLoad expert_load(const RoutingSetting& setting, const RoutingSample& sample, const std::vector<PlacedLayer>& placed) {
  return drawn_load(setting, sample, &placed);
}

ExpertLoad expert_load_measured(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group,
                                std::uint64_t seed) {
  const RoutingSetting setting = routing_setting(model, plan, training, group, seed);
  ExpertLoad result;
  result.balance = Balance::measured;
  result.seed = seed;
  for (const auto& [layer, counts] : measured_layers(setting)) {
    const LayerDraw drawn = draw_measured_layer(setting, layer, counts);
    result.samples.push_back(measured_routing(drawn.tables, counts, setting));
    const LoadStatistics all = statistics_of(counts);
    result.layers.push_back({layer, all, all, {all}});
    add(result, free_nodes(drawn, group, Random(seed, mix64(kStreamFree) + static_cast<std::uint64_t>(layer))));
  }
  finish(result);
  finish_free_nodes(result, setting.gate.limited(), result.layers.size());
  return result;
}

}  // namespace trillion
