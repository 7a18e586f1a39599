// Filling in order finds the max-min rates, whatever order it starts from.
#include "sim/net/fluid_pairs.h"

#include <gtest/gtest.h>

#include <random>

#include "sim/net/fluid_parts.h"
#include "sim/net/max_min.h"

namespace trillion {
namespace {

// Rates of all flows, solved as a whole.
std::vector<double> solved(const FluidProblem& p) {
  MaxMinProblem problem;
  for (const double capacity : p.capacities) problem.add_link(capacity);
  for (const FluidProblem::Flow& flow : p.flows) {
    std::vector<MaxMinUse> uses;
    for (const FluidProblem::Use& use : p.uses_of(flow.path)) uses.push_back({use.link, Share::of(use.share)});
    problem.add_flow(1e300, uses);
  }
  return max_min_rates(problem);
}

struct Filled {
  const FluidProblem& problem;
  FluidBundles state{problem};
  FluidClocks clocks{state};
  FluidPairs pairs{state, clocks};
  FluidParts parts{state};

  explicit Filled(const FluidProblem& p) : problem(p) {
    state.bundle(1e9);  // every link in every key
    clocks.reset();
    pairs.reset();
    parts.reset();
  }
  bool fill(double lowest, double now) {
    for (std::uint32_t depth = 0; depth < state.parts.size(); ++depth) {
      for (std::uint32_t p = 0; p < state.parts.size(); ++p) {
        if (parts.depth(p) != depth) continue;
        if (!pairs.fill(p, lowest, now)) return false;
        parts.changed(p);
      }
    }
    return true;
  }
  // By flow.
  std::vector<double> rates() const {
    std::vector<double> result(problem.flows.size());
    for (std::uint32_t b = 0; b < state.bundles.size(); ++b) {
      for (std::uint32_t f = state.bundles[b].next_flow; f < state.bundles[b].end_flow; ++f) result[state.flows[f].number] = state.rate(b);
    }
    return result;
  }
};

TEST(FluidPairs, TheNarrowLinkFillsFirst) {
  FluidProblem p;
  p.capacities = {10, 6};
  const auto path = [&](std::vector<FluidProblem::Use> uses) { return p.add_path(uses); };
  p.flows = {{path({{0, 1}, {1, 1}}), 30}, {path({{0, 1}}), 70}, {path({{1, 1}}), 30}};
  Filled filled(p);
  ASSERT_TRUE(filled.fill(0, 0));
  EXPECT_EQ(filled.rates(), (std::vector<double>{3, 7, 3}));
  EXPECT_EQ(filled.clocks.soonest(), 10);
}

TEST(FluidPairs, EqualPositionsAreEqualToTheLastBit) {
  FluidProblem p;
  constexpr std::uint32_t kPlaces = 7;
  p.capacities.assign(2 * kPlaces, 1.0 / 3);
  for (std::uint32_t a = 0; a < kPlaces; ++a) {
    for (std::uint32_t b = 0; b < kPlaces; ++b) {
      const std::vector<FluidProblem::Use> uses = {{a, 1}, {kPlaces + b, 1}};
      if (a != b) p.flows.push_back({p.add_path(uses), 1});
    }
  }
  Filled filled(p);
  ASSERT_TRUE(filled.fill(0, 0));
  for (const double rate : filled.rates()) EXPECT_EQ(rate, 1.0 / 3 / 6);
}

TEST(FluidPairs, ALinkThatMustNotStopABundleSaysSo) {
  FluidProblem p;
  p.capacities = {12, 10, 30};
  const auto path = [&](std::vector<FluidProblem::Use> uses) { return p.add_path(uses); };
  p.flows = {{path({{0, 1}, {1, 1}}), 1}, {path({{0, 1}}), 1}};
  Filled filled(p);
  filled.state.bundle(1.1);  // link 0 at 6 is in the first flow's key; link 1 at 10 is nobody's
  ASSERT_EQ(filled.state.live.size(), 1u);
  p.flows.push_back({path({{1, 1}, {2, 1}}), 1});
  p.flows.push_back({path({{2, 1}}), 1});
  Filled passing(p);
  passing.state.bundle(1);  // even parts 6, 5 and 15: the first flow passes link 0
  passing.clocks.reset();
  passing.pairs.reset();
  passing.parts.reset();
  passing.state.levels[0] = 0;  // as if link 0 filled at 6 / 2 = 3
  passing.state.live[0].capacity = 6;
  EXPECT_FALSE(passing.fill(0, 0));
}

// Random pairs; then again and again some flows end, and levels from the lowest rate of these are filled anew.
TEST(FluidPairs, PropertyLevelsAreThoseOfSolvingEverythingAnew) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    FluidProblem p;
    const std::size_t links = 2 + random() % 12;
    for (std::size_t l = 0; l < links; ++l) p.capacities.push_back(static_cast<double>(1 + random() % 6));
    for (std::size_t f = 0; f < 1 + random() % 40; ++f) {
      const auto a = static_cast<std::uint32_t>(random() % links), b = static_cast<std::uint32_t>(random() % links);
      std::vector<FluidProblem::Use> uses = {{a, 1}};
      if (a != b) uses.push_back({b, random() % 3 == 0 ? 0.25 : 1.0});
      p.flows.push_back({p.add_path(uses), static_cast<double>(1 + random() % 1000)});
    }
    Filled filled(p);
    double lowest = 0, now = 0;
    for (;;) {
      ASSERT_TRUE(filled.fill(lowest, now));
      FluidProblem open = p;
      std::vector<double> rates;
      open.flows.clear();
      const std::vector<double> all = filled.rates();
      for (std::size_t f = 0; f < all.size(); ++f) {
        if (all[f] == 0) continue;
        open.flows.push_back(p.flows[f]);
        rates.push_back(all[f]);
      }
      const std::vector<double> wanted = solved(open);
      for (std::size_t f = 0; f < rates.size(); ++f) ASSERT_NEAR(rates[f] / wanted[f], 1, 1e-11) << "flow " << f << " of " << rates.size();
      now = filled.clocks.soonest();
      if (now == FluidClocks::kNever) break;
      lowest = FluidClocks::kNever;
      for (const std::uint32_t link : filled.clocks.due(now)) {
        for (const std::uint32_t b : filled.clocks.due_bundles(link)) {
          lowest = std::min(lowest, filled.state.rate(b));
          const double bytes = filled.state.bundles[b].next;
          while (!filled.state.bundles[b].over() && filled.state.bundles[b].next <= bytes) filled.state.take_next(b);
          filled.clocks.ended(b, bytes);
        }
      }
    }
    EXPECT_TRUE(filled.state.empty());
  }
}

}  // namespace
}  // namespace trillion
