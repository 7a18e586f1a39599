// The algebra of max-min fairness:
//   feasible     sum_i a_il r_i <= C_l, r_i <= cap_i
//   fair         r_i == cap_i, or flow i crosses a saturated link on which no flow is faster
//   unordered    permuting flows, links or a flow's uses permutes the rates, bit for bit
//   local        links and flows that are not connected to it change nothing, bit for bit
//   scaling      capacities and caps times 2^k: rates times 2^k, bit for bit
//   bottlenecks  a flow that leaves links which hold nobody back changes no rate, bit for bit
//   symmetric    flows in equal positions have bit-equal rates
#include "sim/net/max_min.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "sim/base/error.h"

namespace trillion::max_min_test {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr double kRounding = 1e-12;  // relative; the solver has no tolerance, only the last bits of double

// Before fixed point: what the reference reads.
struct Use {
  std::uint32_t link;
  double coefficient;
};
struct Flow {
  double cap;
  std::vector<Use> uses;
};
struct System {
  std::vector<double> capacities;
  std::vector<Flow> flows;
};

MaxMinProblem problem_of(const System& system) {
  MaxMinProblem problem;
  problem.capacities = system.capacities;
  for (const Flow& flow : system.flows) {
    std::vector<MaxMinUse> uses;
    for (const Use& use : flow.uses) uses.push_back({use.link, Share::of(use.coefficient)});
    problem.add_flow(flow.cap, uses);
  }
  return problem;
}

std::vector<double> rates(const System& system) { return max_min_rates(problem_of(system)); }

Flow over(std::initializer_list<std::uint32_t> links, double cap = kInfinite) {
  Flow flow{cap, {}};
  for (const std::uint32_t link : links) flow.uses.push_back({link, 1.0});
  return flow;
}

using Rates = std::vector<double>;

TEST(MaxMin, OneFlowTakesItsLink) { EXPECT_EQ(rates({{10}, {over({0})}}), Rates{10}); }

TEST(MaxMin, EqualFlowsShareEqually) { EXPECT_EQ(rates({{12}, {over({0}), over({0}), over({0})}}), (Rates{4, 4, 4})); }

TEST(MaxMin, ACapLeavesMoreToTheOthers) { EXPECT_EQ(rates({{10}, {over({0}, 2), over({0})}}), (Rates{2, 8})); }

TEST(MaxMin, CapsThatAddUpBelowTheCapacityAreReached) { EXPECT_EQ(rates({{10}, {over({0}, 3), over({0}, 4)}}), (Rates{3, 4})); }

// The parking lot: one flow crosses all links, each link has one of its own.
TEST(MaxMin, ParkingLot) { EXPECT_EQ(rates({{6, 4, 8}, {over({0, 1, 2}), over({0}), over({1}), over({2})}}), (Rates{2, 4, 2, 6})); }

// Bertsekas and Gallager's shape: what the first bottleneck stops leaves room on the second link.
TEST(MaxMin, SecondBottleneckUsesWhatTheFirstLeaves) {
  EXPECT_EQ(rates({{3, 10}, {over({0}), over({0}), over({0, 1}), over({1})}}), (Rates{1, 1, 1, 9}));
}

// r1 + r2 / 4 <= 10 with r1 = r2: both 8.
TEST(MaxMin, CoefficientsWeighTheDemand) {
  EXPECT_EQ(rates({{10}, {over({0}), {kInfinite, {{0, 0.25}}}}}), (Rates{8, 8}));
  EXPECT_EQ(rates({{10, 1}, {over({0}), {kInfinite, {{0, 0.25}, {1, 0.5}}}}}), (Rates{9.5, 2}));
}

TEST(MaxMin, AFlowWithoutLinksRunsAtItsCap) { EXPECT_EQ(rates({{}, {over({}, 5)}}), Rates{5}); }

TEST(MaxMin, NothingIsNothing) { EXPECT_EQ(rates({{7}, {}}), Rates{}); }

TEST(MaxMin, NeitherCapNorLinkIsOurMistake) { EXPECT_THROW(rates({{7}, {over({})}}), InternalError); }

// What the large flow leaves rounds to nothing; the small one, which hardly needs any of it, must not be stopped at zero.
TEST(MaxMin, ATinyDemandIsNotStarvedByRounding) {
  EXPECT_EQ(rates({{1, 2}, {over({0}, 1), {kInfinite, {{0, 1e-17}, {1, 1.0}}}}}), (Rates{1, 1}));
}

// --- properties on random systems ---

System random_system(std::mt19937_64& random, std::uint32_t most_links, std::uint32_t most_flows) {
  const auto below = [&](std::uint64_t n) { return static_cast<std::uint32_t>(random() % n); };
  const auto real = [&](double low, double high) { return std::uniform_real_distribution<double>(low, high)(random); };
  System system;
  const std::uint32_t links = 1 + below(most_links), flows = 1 + below(most_flows);
  const bool round_numbers = below(2) == 0;  // many ties
  for (std::uint32_t l = 0; l < links; ++l) system.capacities.push_back(round_numbers ? 1.0 + below(4) : real(0.1, 10));
  for (std::uint32_t f = 0; f < flows; ++f) {
    Flow flow{below(3) == 0 ? kInfinite : round_numbers ? 0.25 * (1 + below(8)) : real(0.01, 5), {}};
    std::vector<std::uint32_t> order(links);
    for (std::uint32_t l = 0; l < links; ++l) order[l] = l;
    std::shuffle(order.begin(), order.end(), random);
    const std::uint32_t count = 1 + below(std::min(links, 4u));
    for (std::uint32_t u = 0; u < count; ++u) {
      flow.uses.push_back({order[u], u == 0 || below(2) == 0 ? 1.0 : round_numbers ? 0.125 * (1 + below(8)) : real(1e-6, 1)});
    }
    system.flows.push_back(flow);
  }
  return system;
}

std::vector<double> loads(const System& system, const Rates& out) {
  std::vector<double> load(system.capacities.size(), 0);
  for (std::size_t f = 0; f < out.size(); ++f) {
    for (const Use& use : system.flows[f].uses) load[use.link] += use.coefficient * out[f];
  }
  return load;
}

std::vector<double> fastest_on_links(const System& system, const Rates& out) {
  std::vector<double> fastest(system.capacities.size(), 0);
  for (std::size_t f = 0; f < out.size(); ++f) {
    for (const Use& use : system.flows[f].uses) fastest[use.link] = std::max(fastest[use.link], out[f]);
  }
  return fastest;
}

TEST(MaxMin, RatesAreFeasibleAndFair) {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    std::mt19937_64 random(seed);
    const System system = random_system(random, 12, 40);
    const Rates out = rates(system);
    const std::vector<double> load = loads(system, out), fastest = fastest_on_links(system, out);
    for (std::size_t l = 0; l < load.size(); ++l) ASSERT_LE(load[l], system.capacities[l] * (1 + kRounding)) << "seed " << seed;
    for (std::size_t f = 0; f < out.size(); ++f) {
      ASSERT_GT(out[f], 0) << "seed " << seed;
      ASSERT_LE(out[f], system.flows[f].cap) << "seed " << seed;
      const bool at_cap = out[f] == system.flows[f].cap;
      const bool at_bottleneck = std::any_of(system.flows[f].uses.begin(), system.flows[f].uses.end(), [&](const Use& use) {
        return load[use.link] >= system.capacities[use.link] * (1 - kRounding) && out[f] >= fastest[use.link] * (1 - kRounding);
      });
      ASSERT_TRUE(at_cap || at_bottleneck) << "seed " << seed << " flow " << f << " rate " << out[f];
    }
  }
}

// What an engine that re-rates little relies on: a flow whose links are nobody's bottleneck may leave and nobody's rate changes.
TEST(MaxMin, WhoLeavesLinksThatHoldNobodyBackChangesNoBit) {
  std::size_t tried = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    std::mt19937_64 random(seed);
    System system = random_system(random, 12, 40);
    MaxMinSolver solver;
    const std::span<const double> out = solver.solve(problem_of(system));
    std::vector<bool> holds_back(system.capacities.size() + 1);
    for (std::size_t f = 0; f < out.size(); ++f) {
      const std::uint32_t at = solver.bottlenecks()[f];
      if (at == MaxMinSolver::kAtCap) {
        ASSERT_EQ(out[f], system.flows[f].cap) << "seed " << seed;
      } else if (f + 1 < out.size()) {
        holds_back[at] = true;
      }
    }
    const auto& last = system.flows.back().uses;
    if (std::any_of(last.begin(), last.end(), [&](const Use& use) { return holds_back[use.link]; })) continue;
    Rates others(out.begin(), out.end() - 1);
    system.flows.pop_back();
    ASSERT_EQ(rates(system), others) << "seed " << seed;
    ++tried;
  }
  EXPECT_GT(tried, 100u);
}

TEST(MaxMin, OrderDoesNotChangeABit) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    std::mt19937_64 random(seed);
    const System system = random_system(random, 10, 30);
    std::vector<std::uint32_t> link_at(system.capacities.size()), flow_at(system.flows.size());
    for (std::uint32_t l = 0; l < link_at.size(); ++l) link_at[l] = l;
    for (std::uint32_t f = 0; f < flow_at.size(); ++f) flow_at[f] = f;
    std::shuffle(link_at.begin(), link_at.end(), random);
    std::shuffle(flow_at.begin(), flow_at.end(), random);
    System permuted;
    permuted.capacities.resize(link_at.size());
    for (std::size_t l = 0; l < link_at.size(); ++l) permuted.capacities[link_at[l]] = system.capacities[l];
    permuted.flows.resize(flow_at.size());
    for (std::size_t f = 0; f < flow_at.size(); ++f) {
      Flow flow = system.flows[f];
      for (Use& use : flow.uses) use.link = link_at[use.link];
      std::shuffle(flow.uses.begin(), flow.uses.end(), random);
      permuted.flows[flow_at[f]] = flow;
    }
    const Rates out = rates(system), other = rates(permuted);
    for (std::size_t f = 0; f < out.size(); ++f) ASSERT_EQ(out[f], other[flow_at[f]]) << "seed " << seed << " flow " << f;
  }
}

TEST(MaxMin, WhatIsNotConnectedDoesNotChangeABit) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    std::mt19937_64 random(seed);
    const System a = random_system(random, 6, 15), b = random_system(random, 6, 15);
    System both = a;
    both.capacities.insert(both.capacities.end(), b.capacities.begin(), b.capacities.end());
    for (Flow flow : b.flows) {
      for (Use& use : flow.uses) use.link += static_cast<std::uint32_t>(a.capacities.size());
      both.flows.push_back(flow);
    }
    Rates expected = rates(a);
    const Rates second = rates(b);
    expected.insert(expected.end(), second.begin(), second.end());
    ASSERT_EQ(rates(both), expected) << "seed " << seed;
  }
}

// Two copies of one system behave as one: what makes folding exact. Both copies share the links, which are twice as fast.
TEST(MaxMin, TwinsHaveBitEqualRates) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    std::mt19937_64 random(seed);
    const System one = random_system(random, 8, 20);
    System twins = one;
    for (double& capacity : twins.capacities) capacity *= 2;
    twins.flows.insert(twins.flows.end(), one.flows.begin(), one.flows.end());
    const Rates single = rates(one), out = rates(twins);
    for (std::size_t f = 0; f < single.size(); ++f) {
      ASSERT_EQ(out[f], single[f]) << "seed " << seed << " flow " << f;
      ASSERT_EQ(out[f + single.size()], single[f]) << "seed " << seed << " flow " << f;
    }
  }
}

TEST(MaxMin, ScalesWithCapacitiesAndCaps) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    std::mt19937_64 random(seed);
    System system = random_system(random, 8, 20);
    const Rates before = rates(system);
    for (double& capacity : system.capacities) capacity *= 1024;
    for (Flow& flow : system.flows) flow.cap *= 1024;
    const Rates after = rates(system);
    for (std::size_t f = 0; f < before.size(); ++f) ASSERT_EQ(after[f], before[f] * 1024) << "seed " << seed;
  }
}

// --- against brute force: bisect the common level, then see who could still move ---

bool feasible(const System& system, const Rates& out) {
  const std::vector<double> load = loads(system, out);
  for (std::size_t l = 0; l < load.size(); ++l) {
    if (load[l] > system.capacities[l]) return false;
  }
  for (std::size_t f = 0; f < out.size(); ++f) {
    if (out[f] > system.flows[f].cap) return false;
  }
  return true;
}

Rates by_bisection(const System& system) {
  constexpr double kStep = 1e-9;
  Rates out(system.flows.size(), 0);
  std::vector<bool> stopped(out.size(), false);
  const auto at_level = [&](double level) {
    Rates trial = out;
    for (std::size_t f = 0; f < trial.size(); ++f) trial[f] = stopped[f] ? trial[f] : level;
    return trial;
  };
  while (std::find(stopped.begin(), stopped.end(), false) != stopped.end()) {
    double low = 0, high = 100;
    for (int i = 0; i < 100; ++i) (feasible(system, at_level((low + high) / 2)) ? low : high) = (low + high) / 2;
    out = at_level(low);
    for (std::size_t f = 0; f < out.size(); ++f) {
      Rates nudged = out;
      nudged[f] *= 1 + kStep;
      if (!feasible(system, nudged)) stopped[f] = true;
    }
  }
  return out;
}

TEST(MaxMin, EqualsBruteForceOnSmallSystems) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    std::mt19937_64 random(seed);
    System system = random_system(random, 4, 6);
    for (Flow& flow : system.flows) {
      for (Use& use : flow.uses) use.coefficient = std::max(use.coefficient, 0.05);  // the brute force stops by small steps
    }
    const Rates out = rates(system), expected = by_bisection(system);
    for (std::size_t f = 0; f < out.size(); ++f) ASSERT_NEAR(out[f], expected[f], 1e-6 * expected[f]) << "seed " << seed << " flow " << f;
  }
}

}  // namespace
}  // namespace trillion::max_min_test
