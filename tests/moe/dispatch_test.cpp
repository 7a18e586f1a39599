// Algebra of dispatch:
//   (token, expert) pairs are conserved: tokens * top_k = sum of expert loads = sum of rank loads
//   a token reaches each node and each rank at most once; node copies <= rank copies <= pairs
//   bytes: NIC sends = NIC receives = remote nodes per token * tokens * payload; NVLink = local ranks per token likewise
#include "sim/moe/dispatch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "sim/moe/capacity.h"
#include "tests/moe/support/routed_models.h"

namespace trillion::dispatch_test {
namespace {

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
  const Wires w = wires(traffic, group, 10);
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
    const Wires w = wires(traffic, group, 7);
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

TEST(Dispatch, DroppedCopiesGoNowhere) {
  // Expert 0 takes two of the four: the other tokens visit nobody.
  const CapacityResult tight = drop_over_capacity({1, {0, 0, 0, 0, 1, 2}}, 3, {2}, Random(1, 1));
  const ExpertGroup group{1, 1, 6};
  const Traffic traffic = dispatch({tight.kept}, contiguous_placement(3, 1), group);
  EXPECT_EQ(traffic.expert_load, (std::vector<double>{2, 1, 1}));
  EXPECT_EQ(traffic.asked, 6);
  EXPECT_DOUBLE_EQ(routing_of(traffic, group).dropped_share, 2.0 / 6);
  EXPECT_DOUBLE_EQ(routing_of(traffic, group).served, 4.0 / 6);
  EXPECT_DOUBLE_EQ(routing_of(traffic, group).nodes_per_token, 4.0 / 6);
}

TEST(Dispatch, PayloadBytes) {
  // DeepSeek-V3: FP8 values, 56 scales; 72 bytes of metadata, padded to 16.
  EXPECT_DOUBLE_EQ(dispatch_payload(7168, 8, true).values, 7168 + 4 * 56);
  EXPECT_DOUBLE_EQ(dispatch_payload(7168, 8, true).total(), 7472);
  EXPECT_DOUBLE_EQ(dispatch_payload(7168, 8, false).values, 2 * 7168);
  EXPECT_DOUBLE_EQ(dispatch_payload(7168, 8, false).total(), 2 * 7168 + 80);
  EXPECT_DOUBLE_EQ(combine_payload(7168).values, 2 * 7168);
  EXPECT_DOUBLE_EQ(combine_payload(7168).total(), 2 * 7168 + 16);
}

}  // namespace
}  // namespace trillion::dispatch_test
