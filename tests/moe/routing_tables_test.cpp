// The aggregated way agrees with the exact one on the same gate and mix, dropless and with a capacity: single micro-batches within the
// tokens' own noise, means over many within 1 %.
//   a capacity that nobody reaches changes nothing; padding makes all ranks equal and its rows are factor x pairs
//   statistics by layer and domain: equal experts are even; a domain alone is less even than all together
#include "sim/moe/routing_tables.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sim/moe/balancing.h"
#include "sim/moe/dispatch.h"
#include "tests/moe/support/routed_models.h"

namespace trillion::routing_tables_test {
namespace {

std::vector<TokenChoices> route_ranks(const Gate& gate, const ExpertGroup& group, std::uint64_t seed) {
  std::vector<TokenChoices> choices(static_cast<std::size_t>(group.ranks));
  for (std::int64_t r = 0; r < group.ranks; ++r)
    gate.route({r * 7 % gate.domains(), r * group.tokens_per_rank, group.tokens_per_rank}, Random(seed, 1),
               choices[static_cast<std::size_t>(r)]);
  return choices;
}

RoutingTables tables_of(const Gate& gate, const Placement& placement, const ExpertGroup& group, std::uint64_t seed) {
  std::vector<TokenChoices> by_domain(static_cast<std::size_t>(gate.domains()));
  for (std::int64_t d = 0; d < gate.domains(); ++d)
    gate.route({d, d * 2048, 2048}, Random(seed, 5), by_domain[static_cast<std::size_t>(d)]);
  return tabulate(by_domain, placement, group);
}

// One domain a rank, as route_ranks() deals them out.
Table sources_of(const Gate& gate, const ExpertGroup& group) {
  Table sources(group.ranks, gate.domains());
  for (std::int64_t r = 0; r < group.ranks; ++r) sources.at(r, r * 7 % gate.domains()) = static_cast<double>(group.tokens_per_rank);
  return sources;
}

TEST(RoutingTables, AggregatedAgreesWithExact) {
  const Gate gate(kV3, draw_affinities(256, {0.0, 1.1, 16}, 4, 0));
  const Placement placement = contiguous_placement(256, 64);
  const LayerRouting exact = routing_of(dispatch(route_ranks(gate, kEp64, 3), placement, kEp64), kEp64);
  std::vector<TokenChoices> by_domain(16);
  for (std::int64_t d = 0; d < 16; ++d) gate.route({d, d * 2048, 2048}, Random(77, 5), by_domain[static_cast<std::size_t>(d)]);
  Table sources(64, 16);
  for (std::int64_t r = 0; r < 64; ++r) sources.at(r, r * 7 % 16) = 4096;
  const LayerRouting aggregated = micro_batch_routing(tabulate(by_domain, placement, kEp64), sources, kEp64);
  EXPECT_NEAR(aggregated.tokens_per_expert_max_over_mean, exact.tokens_per_expert_max_over_mean, 0.06);
  EXPECT_NEAR(aggregated.rank_load_max_over_mean, exact.rank_load_max_over_mean, 0.02);
  EXPECT_NEAR(aggregated.scale_out_max_over_mean, exact.scale_out_max_over_mean, 0.02);
  EXPECT_NEAR(aggregated.remote_nodes_per_token, exact.remote_nodes_per_token, 0.01);
  EXPECT_NEAR(aggregated.local_ranks_per_token, exact.local_ranks_per_token, 0.02);
  EXPECT_NEAR(aggregated.nodes_per_token, exact.nodes_per_token, 0.01);
}

TEST(RoutingTables, AggregatedKnowsItsOwnNoise) {
  // Without skew all unevenness is sampling: the exact run's 3.6 % must come out of tables that are four times noisier.
  const Gate gate(kV3, draw_affinities(256, {}, 4, 0));
  const Placement placement = contiguous_placement(256, 64);
  double expert = 0, rank = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    std::vector<TokenChoices> by_domain(1);
    gate.route({0, 0, 16384}, Random(seed, 5), by_domain[0]);
    Table sources(64, 1);
    std::fill(sources.value.begin(), sources.value.end(), 4096.0);
    const LayerRouting routing = micro_batch_routing(tabulate(by_domain, placement, kEp64), sources, kEp64);
    expert += routing.tokens_per_expert_max_over_mean / 4;
    rank += routing.rank_load_max_over_mean / 4;
  }
  EXPECT_NEAR(expert, 1.031, 0.012);
  EXPECT_NEAR(rank, 1.013, 0.008);
}

// What is drawn once per layer and averaged over layers and micro-batches must be unbiased: 1 % of each figure.
TEST(RoutingTables, MeansAgreeWithExactWithinOnePercentSlow) {
  for (const double capacity : {0.0, 1.0, 1.5}) {
    SCOPED_TRACE("capacity factor " + std::to_string(capacity));
    LayerRouting exact{0, 0, 0, 0, 0, 0, {}, {}}, aggregated = exact;
    exact.served = aggregated.served = 0;
    constexpr std::uint64_t kRuns = 60;
    const ExpertGroup group{64, 8, 1024};
    const Placement placement = contiguous_placement(256, 64);
    const ExpertCapacity limit{std::ceil(capacity * 1024 * 8 / 256)};
    const auto add = [](LayerRouting& sum, const LayerRouting& one) {
      sum.tokens_per_expert_max_over_mean += one.tokens_per_expert_max_over_mean / kRuns;
      sum.rank_load_max_over_mean += one.rank_load_max_over_mean / kRuns;
      sum.scale_out_max_over_mean += one.scale_out_max_over_mean / kRuns;
      sum.remote_nodes_per_token += one.remote_nodes_per_token / kRuns;
      sum.local_ranks_per_token += one.local_ranks_per_token / kRuns;
      sum.nodes_per_token += one.nodes_per_token / kRuns;
      sum.served += one.served / kRuns;
    };
    for (std::uint64_t run = 1; run <= kRuns; ++run) {
      const Gate gate(kV3, draw_affinities(256, {0.0, 0.8, 16}, run, 0));
      std::vector<TokenChoices> choices = route_ranks(gate, group, run);
      if (capacity > 0)
        for (TokenChoices& c : choices)
          c = drop_over_capacity(c, 256, limit, Random(run, static_cast<std::uint64_t>(&c - choices.data()))).kept;
      add(exact, routing_of(dispatch(choices, placement, group), group));
      const RoutingTables tables = tables_of(gate, placement, group, 100 + run);
      const Table sources = sources_of(gate, group);
      add(aggregated, capacity > 0 ? capped_routing(tables, sources, group, limit) : micro_batch_routing(tables, sources, group));
    }
    const auto agree = [](double a, double b, const char* what) { EXPECT_NEAR(a / b, 1, 0.01) << what; };
    agree(aggregated.tokens_per_expert_max_over_mean, exact.tokens_per_expert_max_over_mean, "busiest expert");
    agree(aggregated.rank_load_max_over_mean, exact.rank_load_max_over_mean, "busiest rank");
    agree(aggregated.scale_out_max_over_mean, exact.scale_out_max_over_mean, "busiest NIC");
    agree(aggregated.remote_nodes_per_token, exact.remote_nodes_per_token, "nodes sent to");
    agree(aggregated.local_ranks_per_token, exact.local_ranks_per_token, "copies over NVLink");
    agree(aggregated.nodes_per_token, exact.nodes_per_token, "nodes visited");
    agree(aggregated.served, exact.served, "served");
    if (capacity > 0) {
      EXPECT_LT(exact.served, 0.95);
    }
  }
}

TEST(RoutingTables, ACapacityThatNobodyReachesChangesNothing) {
  const ExpertGroup group{16, 4, 512};
  const Gate gate(kV3, draw_affinities(256, {0.3, 0.5, 4}, 2, 0));
  const RoutingTables tables = tables_of(gate, contiguous_placement(256, 16), group, 9);
  const LayerRouting free = micro_batch_routing(tables, sources_of(gate, group), group),
                     capped = capped_routing(tables, sources_of(gate, group), group, {512});
  EXPECT_NEAR(capped.served, 1, 1e-12);
  EXPECT_NEAR(capped.dropped_share, 0, 1e-12);
  EXPECT_NEAR(capped.tokens_per_expert_max_over_mean, free.tokens_per_expert_max_over_mean, 1e-9);
  EXPECT_NEAR(capped.nodes_per_token, free.nodes_per_token, 1e-9);
  EXPECT_NEAR(capped.local_ranks_per_token, free.local_ranks_per_token, 1e-9);
  EXPECT_NEAR(capped.rank_load_max_over_mean, free.rank_load_max_over_mean, 0.01) << "a rank's experts are taken as independent";
}

TEST(RoutingTables, ATighterCapacityServesLessAndMoreEvenly) {
  const Gate gate(kV3, draw_affinities(256, {0.6, 1.1, 16}, 3, 0));
  const RoutingTables tables = tables_of(gate, contiguous_placement(256, 64), kEp64, 4);
  LayerRouting last = micro_batch_routing(tables, sources_of(gate, kEp64), kEp64);
  for (const double factor : {4.0, 2.0, 1.0, 0.5}) {
    const LayerRouting now = capped_routing(tables, sources_of(gate, kEp64), kEp64, {factor * 128});
    EXPECT_LT(now.served, last.served);
    EXPECT_LT(now.tokens_per_expert_max_over_mean, last.tokens_per_expert_max_over_mean);
    EXPECT_LT(now.rank_load_max_over_mean, last.rank_load_max_over_mean);
    EXPECT_LE(now.nodes_per_token, last.nodes_per_token);
    EXPECT_LE(now.served, factor) << "no expert takes more";
    EXPECT_NEAR(now.served + now.dropped_share, 1, 1e-12);
    last = now;
  }
}

TEST(RoutingTables, PaddingMakesAllRanksEqual) {
  const Gate gate(kV3, draw_affinities(256, {0.6, 1.1, 16}, 3, 0));
  const RoutingTables tables = tables_of(gate, contiguous_placement(256, 64), kEp64, 4);
  const LayerRouting padded = capped_routing(tables, sources_of(gate, kEp64), kEp64, {160, true});
  EXPECT_DOUBLE_EQ(padded.served, 1.25);
  EXPECT_EQ(padded.rank_load_max_over_mean, 1);
  EXPECT_EQ(padded.tokens_per_expert_max_over_mean, 1);
  EXPECT_EQ(padded.scale_out_max_over_mean, 1);
  // 10 rows a token, 7 of 8 nodes are others, 7 of the 8 ranks of the own node are others.
  EXPECT_DOUBLE_EQ(padded.remote_nodes_per_token, 10 * 56.0 / 64);
  EXPECT_DOUBLE_EQ(padded.local_ranks_per_token, 10 * 7.0 / 64);
  const LayerRouting dropping = capped_routing(tables, sources_of(gate, kEp64), kEp64, {160, false});
  EXPECT_EQ(padded.dropped_share, dropping.dropped_share);
  EXPECT_GT(dropping.dropped_share, 0.1);
}

TEST(RoutingTables, LoadsByLayerAndDomain) {
  const Placement placement = contiguous_placement(256, 64);
  const LayerLoad even = layer_load(tables_of(Gate(kV3, draw_affinities(256, {0, 0, 4}, 1, 0)), placement, kEp64, 3));
  EXPECT_EQ(even.domains.size(), 4u);
  EXPECT_LT(even.all_data.coefficient_of_variation, 0.02) << "the sample's own noise, 3 %, is taken out";
  const LayerLoad skewed = layer_load(tables_of(Gate(kV3, draw_affinities(256, {0, 1.1, 16}, 1, 0)), placement, kEp64, 3));
  for (const LoadStatistics& domain : skewed.domains) EXPECT_GT(domain.coefficient_of_variation, skewed.all_data.coefficient_of_variation);
}

}  // namespace
}  // namespace trillion::routing_tables_test
