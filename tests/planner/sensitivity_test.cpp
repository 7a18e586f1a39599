// What would change a choice. The algebra:
//   shared     a quantity that all layouts share equally changes nothing: one cluster's price; kernels that all run alike
//   exact      of two clusters that differ in price alone, either price tips where they meet
//   true       beyond a tipping point that was simulated the rival wins a whole simulation, before it the winner does
//   cost       not knowing a quantity costs something only where its tipping point lies within its interval
//   threads    change nothing
#include "sim/planner/sensitivity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>

#include "sim/estimate/estimate.h"
#include "sim/planner/work_sharing.h"
#include "tests/support/linear_machine.h"

namespace trillion::sensitivity_test {
namespace {

using namespace testing_support;

struct Searched {
  std::unique_ptr<PlanSearch> search;
  std::unique_ptr<SensitivityAnalysis> analysis;
};

Searched looked_at(const Scenario& s, unsigned threads = 0) {
  Searched out{std::make_unique<PlanSearch>(s, SearchOptions{.keep = 8}), nullptr};
  for (auto tasks = out.search->next(); !tasks.empty(); tasks = out.search->next()) {
    const std::vector<std::string> results = perform_all(*out.search, tasks, threads);
    for (std::size_t i = 0; i < tasks.size(); ++i) out.search->take(tasks[i], results[i]);
  }
  out.analysis = std::make_unique<SensitivityAnalysis>(*out.search);
  while (!out.analysis->done()) out.analysis->advance(threads);
  return out;
}

Scenario setting() {
  Plan plan;
  plan.pipeline_parallel = 4;
  Scenario s = linear_scenario(dense_model(8), plan, 2, 64);
  s.search.micro_batch_size = std::vector<std::int64_t>{1, 2};
  s.search.tensor_parallel = std::vector<std::int64_t>{1, 2, 4};
  s.search.overlap_parameter_gather = std::vector<bool>{false};
  s.search.schedule = std::vector<ScheduleKind>{ScheduleKind::one_f_one_b, ScheduleKind::zb_h1};
  s.cluster.price = Price{UsdPerSecond{2.0 / 3600}, {}};
  for (auto& curve : s.calibration.collectives) curve.info.residuals.p90 = 0.3;
  for (auto& curve : s.calibration.gemms) curve.info.residuals.p90 = 0.1;
  return s;
}

const Sensitivity* of(const SensitivityAnalysis& analysis, LeverKind kind, std::optional<std::size_t> cluster = {}) {
  const auto& all = analysis.found();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Sensitivity& s) { return s.lever.kind == kind && s.lever.cluster == cluster; });
  return found == all.end() ? nullptr : &*found;
}

TEST(Sensitivity, WhatAllShareEquallyNeverTips) {
  Scenario s = setting();
  s.search.objective = Objective::usd;
  EXPECT_EQ(of(*looked_at(s).analysis, LeverKind::price), nullptr);
  // Two layouts that differ in when parameters are gathered alone: products are what both share.
  s = setting();
  s.search.micro_batch_size = std::vector<std::int64_t>{1};
  s.search.tensor_parallel = std::vector<std::int64_t>{1};
  s.search.pipeline_parallel = std::vector<std::int64_t>{4};
  s.search.schedule = std::vector<ScheduleKind>{ScheduleKind::one_f_one_b};
  s.search.sharding = std::vector<Sharding>{Sharding::none, Sharding::zero_1};
  s.search.recompute = std::vector<std::vector<RecomputeModule>>{{}};
  const Searched two = looked_at(s);
  ASSERT_EQ(two.search->ranked().size(), 2u);
  EXPECT_LT(two.search->ranked()[0].step.time, two.search->ranked()[1].step.time);
  for (const Sensitivity& found : two.analysis->found()) EXPECT_EQ(found.lever.name.find("gemm"), std::string::npos) << found.lever.name;
}

TEST(Sensitivity, PricesTipWhereTheyMeet) {
  Scenario s = setting();
  s.search.objective = Objective::usd;
  s.search.tensor_parallel = std::vector<std::int64_t>{1};
  SearchedCluster cheap{"cheap", "", "", s.cluster, s.calibration}, dear = cheap;
  dear.name = "dear";
  dear.cluster.price->per_gpu *= 1.25;
  s.search.clusters = {cheap, dear};
  const Searched found = looked_at(s);
  EXPECT_EQ(found.search->ranked().front().layout.cluster, 0u);
  const Sensitivity *own = of(*found.analysis, LeverKind::price, 0), *other = of(*found.analysis, LeverKind::price, 1);
  ASSERT_TRUE(own != nullptr && other != nullptr);
  ASSERT_TRUE(own->up && other->down);
  EXPECT_NEAR(own->up->change, 0.25, 1e-9);
  EXPECT_NEAR(other->down->change, -0.2, 1e-9);
  EXPECT_FALSE(own->down);
  EXPECT_FALSE(other->up);
  EXPECT_TRUE(own->up->simulated_whole) << "a price needs no simulation";
  EXPECT_EQ(own->could_cost, 0) << "beyond 10 %";
}

TEST(Sensitivity, BeyondATippingPointTheRivalWinsAWholeSimulation) {
  const Scenario s = setting();
  const Searched found = looked_at(s);
  const auto layout = [&](std::size_t contender) { return found.search->ranked()[found.analysis->contenders()[contender]].layout; };
  std::size_t checked = 0;
  for (const Sensitivity& f : found.analysis->found()) {
    const Tipping& t = *f.nearest();
    if (!t.simulated_whole || f.lever.leaves_time()) continue;
    const auto lead = [&](double change) {  // of the winner
      const Scenario changed = with_lever(s, f.lever, 1 + change);
      const auto time = [&](const Layout& l) { return std::get<StepResult>(simulate_step(with_layout(changed, l))).time; };
      return time(layout(t.wins)) - time(layout(0));
    };
    EXPECT_GT(lead(t.change * 0.95).value(), 0) << f.lever.name;
    EXPECT_LT(lead(t.change * 1.05).value(), 0) << f.lever.name;
    ++checked;
  }
  EXPECT_GT(checked, 0u);
}

TEST(Sensitivity, NotKnowingCostsOnlyWithinTheInterval) {
  const Searched found = looked_at(setting());
  ASSERT_FALSE(found.analysis->found().empty());
  double before = std::numeric_limits<double>::infinity();
  for (const Sensitivity& f : found.analysis->found()) {
    EXPECT_LE(f.could_cost, before) << "the most telling first";
    before = f.could_cost;
    ASSERT_TRUE(f.nearest() != nullptr);
    EXPECT_GE(f.nearest()->change, SensitivityAnalysis::kMostDown);
    EXPECT_LE(f.nearest()->change, SensitivityAnalysis::kMostUp);
    if (f.could_cost == 0 || f.nearest()->simulated_whole) continue;
    EXPECT_LE(f.distance(), 1 + 1e-9) << f.lever.name;
  }
}

TEST(Sensitivity, ThreadsChangeNothing) {
  const Searched one = looked_at(setting(), 1), three = looked_at(setting(), 3);
  ASSERT_EQ(one.analysis->found().size(), three.analysis->found().size());
  for (std::size_t i = 0; i < one.analysis->found().size(); ++i) {
    const Sensitivity &a = one.analysis->found()[i], &b = three.analysis->found()[i];
    EXPECT_EQ(a.lever.name, b.lever.name);
    EXPECT_EQ(a.nearest()->change, b.nearest()->change);
    EXPECT_EQ(a.could_cost, b.could_cost);
  }
}

}  // namespace
}  // namespace trillion::sensitivity_test
