// Algebra of placements, for any number of experts over any group:
//   every expert lives somewhere, on existing ranks; a token is served by exactly one home of each expert
//   balanced: every rank holds equally many; never heavier than contiguous at equal counts; groups whole on nodes where they divide
//   traffic-minimising: never fewer co-activated pairs within nodes than contiguous
#include "sim/moe/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

namespace trillion::placement_test {
namespace {

std::vector<double> skewed_loads(std::int64_t experts, std::uint64_t seed) {
  std::vector<double> loads;
  for (std::int64_t e = 0; e < experts; ++e) loads.push_back(std::exp(Random(seed, 1).normal(static_cast<std::uint64_t>(e))));
  return loads;
}

void expect_everyone_lives(const Placement& placement) {
  for (std::size_t e = 0; e < placement.homes.size(); ++e) {
    ASSERT_FALSE(placement.homes[e].empty()) << "expert " << e;
    for (const std::uint16_t r : placement.homes[e]) ASSERT_LT(r, placement.ranks) << "expert " << e;
    for (std::int64_t token = 0; token < 20; ++token) {
      const std::uint16_t home = placement.home(e, token);
      ASSERT_NE(std::find(placement.homes[e].begin(), placement.homes[e].end(), home), placement.homes[e].end());
    }
  }
}

std::vector<double> rank_loads(const Placement& placement, const std::vector<double>& loads) {
  std::vector<double> result(static_cast<std::size_t>(placement.ranks), 0.0);
  for (std::size_t e = 0; e < loads.size(); ++e)
    for (const std::uint16_t r : placement.homes[e]) result[r] += loads[e] / static_cast<double>(placement.homes[e].size());
  return result;
}

double heaviest(const Placement& placement, const std::vector<double>& loads) {
  const std::vector<double> by_rank = rank_loads(placement, loads);
  return *std::max_element(by_rank.begin(), by_rank.end());
}

double pairs_within_nodes(const Placement& p, const TokenChoices& sample, std::int64_t ranks_per_node) {
  double sum = 0;
  for (std::int64_t t = 0; t < sample.tokens(); ++t)
    for (const std::uint16_t e : sample.of(t))
      for (const std::uint16_t f : sample.of(t)) sum += p.homes[e].at(0) / ranks_per_node == p.homes[f].at(0) / ranks_per_node;
  return sum;
}

// Slots per rank differ by one at most; within nodes of their own numbers, by as much within each.
void expect_equally_many(const Placement& p, std::int64_t physical, bool by_node) {
  std::vector<std::int64_t> held(static_cast<std::size_t>(p.ranks), 0);
  for (const auto& homes : p.homes)
    for (const std::uint16_t r : homes) ++held[r];
  EXPECT_EQ(std::accumulate(held.begin(), held.end(), std::int64_t{0}), physical);
  const std::int64_t in_one = by_node ? 8 : p.ranks;
  for (std::int64_t first = 0; first < p.ranks; first += in_one) {
    const auto [fewest, most] = std::minmax_element(held.begin() + first, held.begin() + first + in_one);
    EXPECT_LE(*most - *fewest, 1);
  }
}

TEST(Placement, AnyNumberOfExpertsOverAnyGroup) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Random draw(seed, 2);
    const std::int64_t experts = 1 + static_cast<std::int64_t>(draw.bits(0) % 300),
                       ranks = 1 + static_cast<std::int64_t>(draw.bits(1) % 80);
    for (const Placement& p : {contiguous_placement(experts, ranks), round_robin_placement(experts, ranks)}) {
      expect_everyone_lives(p);
      std::vector<std::int64_t> held(static_cast<std::size_t>(ranks), 0);
      for (const auto& homes : p.homes) ++held[homes.at(0)];
      const auto [fewest, most] = std::minmax_element(held.begin(), held.end());
      EXPECT_LE(*most - *fewest, 1);
    }
    const std::int64_t physical = experts + static_cast<std::int64_t>(draw.bits(2) % 100), groups = experts % 8 == 0 ? 8 : 1;
    const Placement balanced = balanced_placement(skewed_loads(experts, seed), {ranks, 8, groups, physical});
    expect_everyone_lives(balanced);
    expect_equally_many(balanced, physical, is_hierarchical(experts, {ranks, 8, groups, physical}));
    TokenChoices sample;
    sample.top_k = std::min<std::int64_t>(4, experts);
    for (std::int64_t t = 0; t < 50; ++t)
      for (std::int64_t i = 0; i < sample.top_k; ++i)
        sample.expert.push_back(
            static_cast<std::uint16_t>((static_cast<std::int64_t>(draw.bits(static_cast<std::uint64_t>(10 + t)) % 1000) + i) % experts));
    const Placement minimising = traffic_minimising_placement(sample, experts, {ranks, 8, 16});
    expect_everyone_lives(minimising);
    for (const auto& homes : minimising.homes) EXPECT_EQ(homes.size(), 1u);
    EXPECT_GE(pairs_within_nodes(minimising, sample, 8), pairs_within_nodes(contiguous_placement(experts, ranks), sample, 8));
  }
}

// Each token is served once: of every expert that it chose, by exactly one of its homes; the homes share the expert's tokens.
TEST(Placement, EachTokenIsServedOnceProperty) {
  for (const auto& [experts, ranks, physical] :
       {std::array<std::int64_t, 3>{256, 64, 256}, {256, 8, 256}, {256, 64, 320}, {160, 48, 170}, {7, 3, 9}, {5, 8, 8}}) {
    SCOPED_TRACE(std::to_string(physical) + " of " + std::to_string(experts) + " on " + std::to_string(ranks));
    const Placement p = balanced_placement(skewed_loads(experts, 4), {ranks, 8, 1, physical});
    std::int64_t slots = 0;
    for (std::size_t e = 0; e < p.homes.size(); ++e) {
      std::vector<std::int64_t> served(static_cast<std::size_t>(ranks), 0);
      for (std::int64_t token = 0; token < 600; ++token) ++served[p.home(e, token)];
      EXPECT_EQ(std::accumulate(served.begin(), served.end(), std::int64_t{0}), 600);
      for (const std::uint16_t r : p.homes[e])
        EXPECT_NEAR(static_cast<double>(served[r]) / 600,
                    static_cast<double>(std::count(p.homes[e].begin(), p.homes[e].end(), r)) / static_cast<double>(p.homes[e].size()),
                    0.01);
      slots += static_cast<std::int64_t>(p.homes[e].size());
    }
    EXPECT_EQ(slots, physical);
  }
}

TEST(Placement, ContiguousKeepsGroupsOnNodes) {
  const Placement p = contiguous_placement(256, 64);
  for (std::size_t e = 0; e < 256; ++e) EXPECT_EQ(p.homes[e].at(0), e / 4);
  EXPECT_EQ(round_robin_placement(256, 64).homes[65].at(0), 1);
}

TEST(Placement, BalancedIsLighterThanContiguousAndRedundancyHelps) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const std::vector<double> loads = skewed_loads(256, seed);
    const double plain = heaviest(contiguous_placement(256, 64), loads);
    const double packed = heaviest(balanced_placement(loads, {64, 8, 8, 256}), loads);
    const double redundant = heaviest(balanced_placement(loads, {64, 8, 8, 320}), loads);
    const double flat = heaviest(balanced_placement(loads, {64, 8, 1, 320}), loads);
    const double mean = std::accumulate(loads.begin(), loads.end(), 0.0) / 64;
    EXPECT_LE(packed, plain);
    EXPECT_LT(redundant, packed);
    EXPECT_LE(flat, redundant * 1.001);
    EXPECT_LT(flat, 1.1 * mean);
  }
}

TEST(Placement, HierarchicalKeepsGroupsWhole) {
  const Placement p = balanced_placement(skewed_loads(256, 3), {64, 8, 16, 320});
  for (std::size_t group = 0; group < 16; ++group) {
    std::set<int> nodes;
    for (std::size_t e = group * 16; e < (group + 1) * 16; ++e)
      for (const std::uint16_t r : p.homes[e]) nodes.insert(r / 8);
    EXPECT_EQ(nodes.size(), 1u);
  }
}

TEST(Placement, ReplicasShareTheTokensInTurn) {
  std::vector<double> loads(8, 1.0);
  loads[2] = 100;
  const Placement p = balanced_placement(loads, {4, 4, 1, 12});
  ASSERT_EQ(p.homes[2].size(), 5u);
  std::vector<int> served(5, 0);
  for (std::int64_t token = 0; token < 50; ++token)
    ++served[static_cast<std::size_t>(std::find(p.homes[2].begin(), p.homes[2].end(), p.home(2, token)) - p.homes[2].begin())];
  int all = 0;
  for (const int s : served) all += s;
  EXPECT_EQ(all, 50);
}

TEST(Placement, TrafficMinimisingFindsHiddenCliques) {
  // Experts with the same remainder modulo 4 go together; contiguous placement tears them apart, 4 nodes can hold them whole.
  TokenChoices sample;
  sample.top_k = 4;
  for (std::uint64_t t = 0; t < 2000; ++t) {
    const std::uint64_t clique = Random(1, 1).bits(t) % 4, first = Random(1, 2).bits(t) % 8;
    for (std::uint64_t i = 0; i < 4; ++i) sample.expert.push_back(static_cast<std::uint16_t>(clique + 4 * ((first + i) % 8)));
  }
  const ExpertGroup group{16, 4, 128};
  const Placement p = traffic_minimising_placement(sample, 32, group);
  expect_everyone_lives(p);
  EXPECT_EQ(pairs_within_nodes(p, sample, 4), 2000.0 * 16);
  EXPECT_LT(pairs_within_nodes(contiguous_placement(32, 16), sample, 4), 2000.0 * 8);
}

TEST(Placement, TrafficMinimisingIsNeverWorseThanContiguous) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Gate gate({64, 6, 1, 1, 1, GateScore::sigmoid}, draw_affinities(64, {0.6, 1.1, 8}, seed, 0));
    TokenChoices sample;
    for (std::int64_t d = 0; d < 8; ++d) gate.route({d, d * 300, 300}, Random(seed, 9), sample);
    const ExpertGroup group{16, 4, 128};
    const Placement p = traffic_minimising_placement(sample, 64, group);
    std::vector<int> held(16, 0);
    for (const auto& homes : p.homes) ++held[homes.at(0)];
    for (const int h : held) EXPECT_EQ(h, 4);
    EXPECT_GE(pairs_within_nodes(p, sample, 4), pairs_within_nodes(contiguous_placement(64, 16), sample, 4));
  }
}

}  // namespace
}  // namespace trillion::placement_test
