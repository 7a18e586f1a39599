// Algebra of dispatch:
//   (token, expert) pairs are conserved: tokens * top_k = sum of expert loads = sum of rank loads
//   a token reaches each node and each rank at most once; node copies <= rank copies <= pairs
//   bytes: NIC sends = NIC receives = remote nodes per token * tokens * payload; NVLink = local ranks per token likewise
//   the aggregated way agrees with the exact one on the same gate and mix
#include "sim/moe/dispatch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace trillion {
namespace {

const GateShape kV3{256, 8, 8, 4, 2, GateScore::sigmoid};
const ExpertGroup kEp64{64, 8, 4096};

double sum(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0); }

std::vector<TokenChoices> route_ranks(const Gate& gate, const ExpertGroup& group, std::uint64_t seed) {
  std::vector<TokenChoices> choices(static_cast<std::size_t>(group.ranks));
  for (std::int64_t r = 0; r < group.ranks; ++r)
    gate.route({r * 7 % gate.domains(), r * group.tokens_per_rank, group.tokens_per_rank}, Random(seed, 1),
               choices[static_cast<std::size_t>(r)]);
  return choices;
}

TEST(Dispatch, ByHand) {
  // Two nodes of two ranks, one expert each. Rank 0 has one token for experts 1, 2 and 3; rank 3 has one for experts 2 and 3.
  const ExpertGroup group{4, 2, 1};
  std::vector<TokenChoices> choices(4);
  choices[0] = {3, {1, 2, 3}};
  choices[3] = {2, {2, 3}};
  const Traffic traffic = dispatch(choices, contiguous_placement(4, 4), group);
  EXPECT_EQ(traffic.expert_load, (std::vector<double>{0, 1, 2, 2}));
  EXPECT_EQ(traffic.node_copies.value, (std::vector<double>{1, 1, 0, 0, 0, 0, 0, 1}));
  const LayerRouting routing = routing_of(traffic, group);
  EXPECT_DOUBLE_EQ(routing.remote_nodes_per_token, 0.5);
  EXPECT_DOUBLE_EQ(routing.nodes_per_token, 1.5);
  // Rank 0's token: to rank 1 over NVLink; to node 1 by NIC, entering at rank 2, on to rank 3. Rank 3's token: to rank 2.
  EXPECT_DOUBLE_EQ(routing.local_ranks_per_token, 1.5);
  const Wires w = wires(traffic, group, {10});
  EXPECT_EQ(w.scale_out.at(0, 2), 10);
  EXPECT_EQ(sum(w.scale_out.value), 10);
  EXPECT_EQ(w.scale_up.at(0, 1), 10);
  EXPECT_EQ(w.scale_up.at(2, 3), 10);
  EXPECT_EQ(w.scale_up.at(3, 2), 10);
  EXPECT_EQ(sum(w.scale_up.value), 30);
}

TEST(Dispatch, ConservesTokens) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Random draw(seed, 3);
    const ExpertGroup group{1 + static_cast<std::int64_t>(draw.bits(0) % 24), 1 + static_cast<std::int64_t>(draw.bits(1) % 9), 40};
    const Gate gate({64, 6, 8, 4, 2, GateScore::sigmoid}, draw_affinities(64, {0.6, 1.1, 4}, seed, 0));
    const Placement placement =
        seed % 2 ? contiguous_placement(64, group.ranks)
                 : balanced_placement(std::vector<double>(64, 1.0), {group.ranks, group.ranks_per_node, 1, 64 * group.ranks});
    const Traffic traffic = dispatch(route_ranks(gate, group, seed), placement, group);
    const double tokens = static_cast<double>(group.ranks * 40);
    EXPECT_EQ(traffic.tokens, tokens);
    EXPECT_EQ(sum(traffic.expert_load), 6 * tokens);
    EXPECT_EQ(sum(traffic.rank_load), 6 * tokens);
    EXPECT_LE(sum(traffic.node_copies.value), sum(traffic.rank_copies.value));
    EXPECT_LE(sum(traffic.rank_copies.value), 6 * tokens);
    for (const double copies : traffic.node_copies.value) EXPECT_LE(copies, 40);
    for (const double copies : traffic.rank_copies.value) EXPECT_LE(copies, 40);
    const LayerRouting routing = routing_of(traffic, group);
    const Wires w = wires(traffic, group, {7});
    EXPECT_NEAR(sum(w.scale_out.value), 7 * tokens * routing.remote_nodes_per_token, 1e-6);
    EXPECT_NEAR(sum(w.scale_up.value), 7 * tokens * routing.local_ranks_per_token, 1e-6);
    for (std::int64_t s = 0; s < group.ranks; ++s)
      for (std::int64_t r = 0; r < group.ranks; ++r) {
        const bool same_node = s / group.ranks_per_node == r / group.ranks_per_node;
        if (same_node) {
          EXPECT_EQ(w.scale_out.at(s, r), 0);
        }
        if (!same_node || s == r) {
          EXPECT_EQ(w.scale_up.at(s, r), 0);
        }
      }
  }
}

TEST(Dispatch, NodeLimitSavesNicTraffic) {
  const Affinities equal = draw_affinities(256, {}, 1, 0);
  const ExpertGroup group{64, 8, 512};
  GateShape unlimited = kV3;
  unlimited.top_groups = 8;
  const Placement placement = contiguous_placement(256, 64);
  const LayerRouting limited = routing_of(dispatch(route_ranks(Gate(kV3, equal), group, 2), placement, group), group);
  const LayerRouting free = routing_of(dispatch(route_ranks(Gate(unlimited, equal), group, 2), placement, group), group);
  EXPECT_NEAR(limited.remote_nodes_per_token, 3.5, 0.04);
  EXPECT_NEAR(free.nodes_per_token, 5.30, 0.03);
  EXPECT_NEAR(free.remote_nodes_per_token, 5.30 * 7 / 8, 0.03);
  // Experts of one group on different nodes: the limit no longer binds.
  const LayerRouting scattered =
      routing_of(dispatch(route_ranks(Gate(kV3, equal), group, 2), round_robin_placement(256, 64), group), group);
  EXPECT_GT(scattered.nodes_per_token, 5.0);
}

TEST(Dispatch, AggregatedAgreesWithExact) {
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

TEST(Dispatch, AggregatedKnowsItsOwnNoise) {
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

TEST(Dispatch, CapacityDropsTheLateOnes) {
  const TokenChoices choices{1, {0, 0, 0, 0, 1, 2}};
  const CapacityResult tight = drop_over_capacity(choices, 3, 1.0);  // 6 / 3 = 2 per expert
  EXPECT_EQ(tight.kept.expert, (std::vector<std::uint16_t>{0, 0, CapacityResult::kDropped, CapacityResult::kDropped, 1, 2}));
  EXPECT_DOUBLE_EQ(tight.dropped_fraction, 2.0 / 6);
  EXPECT_EQ(drop_over_capacity(choices, 3, 2.0).dropped_fraction, 0);
  std::vector<TokenChoices> ranks{tight.kept};
  EXPECT_EQ(dispatch(ranks, contiguous_placement(3, 1), {1, 1, 6}).expert_load, (std::vector<double>{2, 1, 1}));
}

TEST(Dispatch, PayloadBytes) {
  EXPECT_DOUBLE_EQ(dispatch_payload(7168, 8, true).bytes_per_copy, 7168 + 4 * 56 + 128);
  EXPECT_DOUBLE_EQ(dispatch_payload(7168, 8, false).bytes_per_copy, 2 * 7168 + 128);
  EXPECT_DOUBLE_EQ(combine_payload(7168).bytes_per_copy, 2 * 7168);
}

}  // namespace
}  // namespace trillion
