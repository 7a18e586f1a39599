// The best of a space. The algebra:
//   best     the first `keep` are those of an exhaustive search, in its order
//   counts   every layout is simulated, or left out for a stated reason
//   threads  change nothing
//   pareto   nobody on the front is beaten; everybody else is
#include "sim/planner/plan_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/linear_machine.h"

namespace trillion {
namespace {

using namespace testing_support;

Scenario setting(const Model& model, std::int64_t expert_parallel = 1) {
  Plan plan;
  plan.pipeline_parallel = 4;
  plan.expert_parallel = expert_parallel;
  Scenario s = linear_scenario(model, plan, 2, 64);
  s.search.micro_batch_size = std::vector<std::int64_t>{1, 2};
  return s;
}

void run_to_end(PlanSearch& search) {
  while (search.advance()) {
  }
}

std::vector<double> times(const PlanSearch& search, std::size_t most) {
  std::vector<double> out;
  for (const Ranked& r : search.ranked()) {
    if (out.size() < most) out.push_back(r.step.time.value());
  }
  return out;
}

void expect_same_as_exhaustive(const Scenario& s) {
  PlanSearch pruned(s, {.keep = 5}), exhaustive(s, {.keep = 1000000});
  run_to_end(pruned);
  run_to_end(exhaustive);
  EXPECT_EQ(exhaustive.counts().pruned_by_bound, 0u);
  EXPECT_GT(pruned.counts().pruned_by_bound, 0u);
  EXPECT_LT(pruned.counts().simulated, exhaustive.counts().simulated);
  EXPECT_EQ(times(pruned, 5), times(exhaustive, 5));
  for (const PlanSearch* search : {&pruned, &exhaustive}) {
    const SearchCounts& c = search->counts();
    EXPECT_EQ(c.enumerated, c.pruned_by_memory + c.pruned_by_bound + c.simulated);
    EXPECT_EQ(c.simulated, search->ranked().size());
    EXPECT_TRUE(std::is_sorted(search->ranked().begin(), search->ranked().end(), [](const Ranked& a, const Ranked& b) {
      return a.gpu_hours_per_trillion_tokens < b.gpu_hours_per_trillion_tokens;
    }));
  }
}

TEST(PlanSearch, NeverDropsTheBestOfADenseModel) { expect_same_as_exhaustive(setting(dense_model(8))); }

TEST(PlanSearch, NeverDropsTheBestOfAMixtureOfExperts) {
  Scenario s = setting(moe_model(8), 4);
  s.search.tensor_parallel = std::vector<std::int64_t>{1, 2};
  s.search.recompute = std::vector<std::vector<RecomputeModule>>{{}, {RecomputeModule::layer}};
  expect_same_as_exhaustive(s);
}

TEST(PlanSearch, ThreadsChangeNothing) {
  const Scenario s = setting(dense_model(8));
  PlanSearch one(s, {.keep = 5, .threads = 1}), three(s, {.keep = 5, .threads = 3});
  run_to_end(one);
  run_to_end(three);
  ASSERT_EQ(one.ranked().size(), three.ranked().size());
  for (std::size_t i = 0; i < one.ranked().size(); ++i) {
    EXPECT_EQ(one.ranked()[i].layout, three.ranked()[i].layout);
    EXPECT_EQ(one.ranked()[i].step.time, three.ranked()[i].step.time);
  }
  EXPECT_EQ(one.counts().pruned_by_bound, three.counts().pruned_by_bound);
}

TEST(PlanSearch, SaysWhatCameClosestWhereNothingFits) {
  Scenario s = setting(dense_model(8));
  s.cluster.gpu.usable_memory = Bytes{1e6};
  PlanSearch search(s, {});
  run_to_end(search);
  EXPECT_TRUE(search.ranked().empty());
  EXPECT_EQ(search.counts().pruned_by_memory, search.counts().enumerated);
  ASSERT_TRUE(search.near_miss());
  EXPECT_GT(search.near_miss()->excess.value(), 0);
}

TEST(PlanSearch, DaysPreferMoreNodesAndGpuHoursFewer) {
  Scenario s = setting(dense_model(8));
  s.search.nodes = std::vector<std::int64_t>{1, 2};
  s.search.objective = Objective::days;
  PlanSearch fastest(s, {.keep = 1});
  run_to_end(fastest);
  s.search.objective = Objective::gpu_hours;
  PlanSearch cheapest(s, {.keep = 1});
  run_to_end(cheapest);
  EXPECT_EQ(fastest.ranked().front().layout.nodes, 2);
  EXPECT_LE(cheapest.ranked().front().gpu_hours_per_trillion_tokens, fastest.ranked().front().gpu_hours_per_trillion_tokens);
}

TEST(PlanSearch, NobodyOnTheFrontIsBeatenAndEverybodyElseIs) {
  PlanSearch search(setting(dense_model(8)), {.keep = 1000});
  run_to_end(search);
  const std::vector<Ranked>& all = search.ranked();
  const std::vector<std::size_t> front = pareto_front(all);
  const auto no_worse = [](const Ranked& a, const Ranked& b) {
    return a.gpu_hours_per_trillion_tokens <= b.gpu_hours_per_trillion_tokens && a.days <= b.days && a.peak_memory <= b.peak_memory;
  };
  const auto alike = [&](const Ranked& a, const Ranked& b) { return no_worse(a, b) && no_worse(b, a); };
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool on_front = std::find(front.begin(), front.end(), i) != front.end();
    const bool beaten = std::any_of(all.begin(), all.end(), [&](const Ranked& r) { return no_worse(r, all[i]) && !alike(r, all[i]); });
    EXPECT_NE(on_front, beaten) << i;
  }
  ASSERT_FALSE(front.empty());
  EXPECT_EQ(front.front(), 0u);
}

}  // namespace
}  // namespace trillion
