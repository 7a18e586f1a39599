// Re-rating only what a change can reach gives the ends that solving everything anew gives.
#include "sim/net/fluid_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "sim/net/max_min.h"

namespace trillion::fluid_run_test {
namespace {

// Every flow a demand of its own, all rates solved again after every end.
std::vector<double> ends_by_solving(const FluidProblem& p) {
  std::vector<double> left, ends(p.flows.size());
  for (const FluidProblem::Flow& flow : p.flows) left.push_back(flow.bytes);
  MaxMinSolver solver;
  for (double time = 0;;) {
    MaxMinProblem problem;
    for (const double capacity : p.capacities) problem.add_link(capacity);
    std::vector<std::size_t> open;
    for (std::size_t f = 0; f < left.size(); ++f) {
      if (left[f] <= 0) continue;
      open.push_back(f);
      std::vector<MaxMinUse> uses;
      for (const FluidProblem::Use& use : p.uses_of(p.flows[f].path)) uses.push_back({use.link, Share::of(use.share)});
      problem.add_flow(1e300, uses);
    }
    if (open.empty()) return ends;
    const std::span<const double> rates = solver.solve(problem);
    double step = 1e300;
    for (std::size_t k = 0; k < open.size(); ++k) step = std::min(step, left[open[k]] / rates[k]);
    time += step;
    for (std::size_t k = 0; k < open.size(); ++k) {
      left[open[k]] -= rates[k] * step;
      if (left[open[k]] > 1e-9 * p.flows[open[k]].bytes) continue;
      left[open[k]] = 0;
      ends[open[k]] = time;
    }
  }
}

TEST(FluidRun, PropertyEndsAreThoseOfSolvingEverythingAnew) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    FluidProblem p;
    const std::size_t links = 2 + random() % 12;
    for (std::size_t l = 0; l < links; ++l) p.capacities.push_back(static_cast<double>(1 + random() % 20));
    const std::size_t paths = 1 + random() % 30;
    for (std::size_t k = 0; k < paths; ++k) {
      std::vector<FluidProblem::Use> uses;
      for (std::uint32_t l = 0; l < links; ++l) {
        if (random() % 4 == 0) uses.push_back({l, random() % 3 == 0 ? 0.25 * static_cast<double>(1 + random() % 4) : 1.0});
      }
      if (uses.empty()) uses.push_back({static_cast<std::uint32_t>(random() % links), 1});
      p.add_path(uses);
    }
    for (std::size_t f = 0; f < 60; ++f)
      p.flows.push_back({static_cast<std::uint32_t>(random() % paths), static_cast<double>(1 + random() % 40)});
    std::vector<double> ends(p.flows.size());
    FluidRun(p, ends).run();
    const std::vector<double> wanted = ends_by_solving(p);
    for (std::size_t f = 0; f < ends.size(); ++f) ASSERT_NEAR(ends[f] / wanted[f], 1, 1e-7) << "flow " << f;
  }
}

// Nodes whose flows go over a wide link of their own and then share narrow ones: the wide ones are left out of bundles at first and
// hold flows back at last.
TEST(FluidRun, PropertyWideLinksThatFillLateAreNotMissed) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    FluidProblem p;
    constexpr std::uint32_t kPlaces = 6;
    for (std::uint32_t l = 0; l < kPlaces; ++l) p.capacities.push_back(static_cast<double>(12 + random() % 10));  // wide
    for (std::uint32_t l = 0; l < kPlaces; ++l) p.capacities.push_back(10);                                       // narrow
    for (std::uint32_t a = 0; a < kPlaces; ++a) {
      for (std::uint32_t b = 0; b < kPlaces; ++b) {
        const std::vector<FluidProblem::Use> uses = {{a, 1}, {kPlaces + b, 1}};
        p.flows.push_back({p.add_path(uses), static_cast<double>(20 + random() % 200)});
      }
    }
    std::vector<double> ends(p.flows.size());
    FluidRun(p, ends).run();
    const std::vector<double> wanted = ends_by_solving(p);
    for (std::size_t f = 0; f < ends.size(); ++f) ASSERT_NEAR(ends[f] / wanted[f], 1, 1e-7) << "flow " << f;
  }
}

// Three nodes of four GPUs, some of which receive far more than others. A GPU sends to another node by the NIC of the receiver's rail, over
// the NVLinks to the GPU beside it. Once these links hold flows of three links back, they are not filled as pairs, and rails that still are
// pass them.
TEST(FluidRun, PropertyWhatRailsPassIsFilledFromTheirLevelOn) {
  constexpr std::uint32_t kGpus = 12, kPerNode = 4;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    std::lognormal_distribution<double> popularity(0, 1.2), bytes(0, 0.5);
    FluidProblem p;
    for (std::uint32_t l = 0; l < 4 * kGpus; ++l) p.capacities.push_back(l < 2 * kGpus ? 3.2 : 1);  // NVLinks out and in, NICs out and in
    std::vector<double> hot(kGpus);
    for (double& h : hot) h = popularity(random);
    for (std::uint32_t a = 0; a < kGpus; ++a) {
      for (std::uint32_t b = 0; b < kGpus; ++b) {
        const std::uint32_t relay = a - a % kPerNode + b % kPerNode;
        std::vector<FluidProblem::Use> uses;
        if (a == b) continue;
        if (relay != a) uses = {{a, 1}, {kGpus + relay, 1}};
        if (relay != b) uses.insert(uses.end(), {{2 * kGpus + relay, 1}, {3 * kGpus + b, 1}});
        p.flows.push_back({p.add_path(uses), hot[b] * bytes(random)});
      }
    }
    std::vector<double> ends(p.flows.size());
    FluidRun(p, ends).run();
    const std::vector<double> wanted = ends_by_solving(p);
    for (std::size_t f = 0; f < ends.size(); ++f) ASSERT_NEAR(ends[f] / wanted[f], 1, 1e-7) << "flow " << f;
  }
}

}  // namespace
}  // namespace trillion::fluid_run_test
