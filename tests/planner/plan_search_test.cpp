// The best of a space. The algebra:
//   best     the first `keep` are those of an exhaustive search, in its order
//   counts   every layout is simulated, or left out for a stated reason
//   limits   who keeps budget and deadline comes before who does not
//   sizes    the best of each cluster and size is among those simulated
//   threads  change nothing
//   pareto   nobody on the front is beaten; everybody else is
#include "sim/planner/plan_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/estimate/estimate.h"
#include "sim/planner/work_sharing.h"
#include "tests/support/linear_machine.h"

namespace trillion::plan_search_test {
namespace {

using namespace testing_support;

Scenario setting(const Model& model, std::int64_t expert_parallel = 1) {
  Plan plan;
  plan.pipeline_parallel = 4;
  plan.expert_parallel = expert_parallel;
  Scenario s = linear_scenario(model, plan, 2, 64);
  s.search.micro_batch_size = std::vector<std::int64_t>{1, 2};
  s.search.overlap_parameter_gather = std::vector<bool>{false};
  s.search.tensor_parallel = std::vector<std::int64_t>{1, 2};
  return s;
}

void run_to_end(PlanSearch& search, unsigned threads = 0) {
  for (auto tasks = search.next(); !tasks.empty(); tasks = search.next()) {
    const std::vector<std::string> results = perform_all(search, tasks, threads);
    for (std::size_t i = 0; i < tasks.size(); ++i) search.take(tasks[i], results[i]);
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
  PlanSearch pruned(s, {.keep = 5}), bounded(s, {.keep = 5, .screen = false}), exhaustive(s, {.keep = 1000000});
  run_to_end(pruned);
  run_to_end(bounded);
  run_to_end(exhaustive);
  EXPECT_EQ(exhaustive.counts().pruned_by_bound + exhaustive.counts().pruned_by_screening, 0u);
  EXPECT_GT(pruned.counts().pruned_by_screening, 0u);
  EXPECT_GT(bounded.counts().pruned_by_bound, 0u);
  EXPECT_EQ(bounded.counts().pruned_by_screening, 0u);
  EXPECT_LT(pruned.counts().simulated, exhaustive.counts().simulated);
  EXPECT_EQ(times(pruned, 5), times(exhaustive, 5));
  EXPECT_EQ(times(bounded, 5), times(exhaustive, 5));
  for (const PlanSearch* search : {&pruned, &bounded, &exhaustive}) {
    const SearchCounts c = search->counts();
    EXPECT_EQ(c.enumerated, c.pruned_by_memory + c.pruned_by_bound + c.pruned_by_screening + c.simulated);
    EXPECT_EQ(c.simulated, search->ranked().size());
    EXPECT_TRUE(std::is_sorted(search->ranked().begin(), search->ranked().end(), [](const Ranked& a, const Ranked& b) {
      return a.gpu_hours_per_trillion_tokens < b.gpu_hours_per_trillion_tokens;
    }));
  }
  EXPECT_GT(pruned.screening_error().layouts, 5u);
  EXPECT_LE(pruned.screening_error().largest_over, 0.02);
}

TEST(PlanSearch, NeverDropsTheBestOfADenseModel) { expect_same_as_exhaustive(setting(dense_model(8))); }

TEST(PlanSearch, NeverDropsTheBestOfAMixtureOfExperts) {
  Scenario s = setting(moe_model(8), 4);
  s.search.expert_parallel = std::vector<std::int64_t>{1, 4};
  s.search.recompute = std::vector<std::vector<RecomputeModule>>{{}, {RecomputeModule::layer}};
  expect_same_as_exhaustive(s);
}

TEST(PlanSearch, ThreadsChangeNothing) {
  const Scenario s = setting(dense_model(8));
  PlanSearch one(s, {.keep = 5}), three(s, {.keep = 5});
  run_to_end(one, 1);
  run_to_end(three, 3);
  ASSERT_EQ(one.ranked().size(), three.ranked().size());
  for (std::size_t i = 0; i < one.ranked().size(); ++i) {
    EXPECT_EQ(one.ranked()[i].layout, three.ranked()[i].layout);
    EXPECT_EQ(one.ranked()[i].step.time, three.ranked()[i].step.time);
  }
  EXPECT_EQ(one.counts().pruned_by_bound, three.counts().pruned_by_bound);
}

TEST(PlanSearch, ANarrowNetworkIsAsNarrowAsForSimulate) {
  Scenario s = setting(moe_model(8), 4);
  s.cluster = linear_cluster(12, 4);
  s.cluster.scale_out.oversubscription = 3;
  s.cluster.scale_out.switch_ports = 8;  // 6 nodes on a leaf
  s.training.global_batch_size = 96;
  s.search.expert_parallel = std::vector<std::int64_t>{16};
  s.search.pipeline_parallel = std::vector<std::int64_t>{1};
  s.search.tensor_parallel = std::vector<std::int64_t>{1};
  PlanSearch search(s, {.keep = 2});
  run_to_end(search);
  ASSERT_FALSE(search.ranked().empty());
  const Ranked& best = search.ranked().front();
  const Seconds alone = std::get<StepResult>(simulate_step(search.scenario(best.layout))).time;
  EXPECT_EQ(best.step.time, alone);
  s.cluster.scale_out.oversubscription = 1;
  s.cluster.scale_out.switch_ports = 64;
  PlanSearch wide(s, {.keep = 2});
  run_to_end(wide);
  ASSERT_FALSE(wide.ranked().empty());
  EXPECT_LT(wide.ranked().front().step.time, alone) << "the network is felt";
}

void take_all(PlanSearch& search, const std::vector<SearchTask>& tasks) {
  for (const SearchTask& task : tasks) search.take(task, search.perform(task));
}

// How many layouts were simulated after the cut.
std::size_t cut(PlanSearch& search) {
  const std::size_t before = search.ranked().size();
  for (auto tasks = search.next_of_a_cut(); !tasks.empty(); tasks = search.next_of_a_cut()) take_all(search, tasks);
  return search.ranked().size() - before;
}

TEST(PlanSearch, TheOwnPlanIsTheFirstAnswer) {
  const Scenario s = setting(dense_model(8));
  PlanSearch search(s, {.keep = 5});
  const std::vector<SearchTask> tasks = search.next();
  ASSERT_EQ(tasks.front().what, SearchTask::What::simulate);
  EXPECT_EQ(search.layouts()[tasks.front().index].plan, s.plan);
  search.take(tasks.front(), search.perform(tasks.front()));
  ASSERT_EQ(search.ranked().size(), 1u);
  EXPECT_FALSE(search.ranked().front().screened) << "nothing else is known yet";
  take_all(search, {tasks.begin() + 1, tasks.end()});
  run_to_end(search);
  for (const Ranked& r : search.ranked()) EXPECT_TRUE(r.screened) << "what screening is good for is asked of the own plan too";
  EXPECT_EQ(search.screening_error().layouts, search.ranked().size());
}

TEST(PlanSearch, AnOwnPlanThatDoesNotFitIsCountedOnce) {
  Scenario s = setting(dense_model(8));
  s.plan.micro_batch_size = 2;
  s.cluster.gpu.usable_memory = Bytes{1e9};
  PlanSearch search(s, {.keep = 5});
  run_to_end(search);
  EXPECT_TRUE(search.ranked().empty());
  EXPECT_EQ(search.counts().pruned_by_memory, search.counts().enumerated);
}

TEST(PlanSearch, ACutSearchSimulatesTheMostPromisingSoFar) {
  PlanSearch search(setting(dense_model(8)), {.keep = 5});
  std::vector<SearchTask> tasks = search.next();
  ASSERT_EQ(tasks.back().what, SearchTask::What::look);
  for (; tasks.back().what == SearchTask::What::look; tasks = search.next()) take_all(search, tasks);
  ASSERT_EQ(tasks.front().what, SearchTask::What::screen);
  take_all(search, tasks);
  EXPECT_GT(cut(search), 0u);
  EXPECT_FALSE(search.complete());
  double least = 1e300;
  for (const Ranked& r : search.ranked()) least = std::min(least, r.screened ? r.screened->value() : 1e300);
  for (const LookedAt& other : search.looked_at()) {
    if (other.how != LookedAt::How::screened) continue;
    EXPECT_GE(other.step_time.value(), least);
  }
  EXPECT_TRUE(search.next_of_a_cut().empty());
}

TEST(PlanSearch, CutWhileItLooksItScreensAFewAndSimulatesTheBest) {
  PlanSearch search(setting(dense_model(8)), {.keep = 5});
  take_all(search, search.next());
  EXPECT_GT(cut(search), 0u);
  EXPECT_GT(search.counts().screened, 0u);
  const auto screened =
      std::count_if(search.ranked().begin(), search.ranked().end(), [](const Ranked& r) { return r.screened.has_value(); });
  EXPECT_GE(screened, static_cast<std::ptrdiff_t>(search.ranked().size()) - 1) << "but for the own plan, which may be in no such group";
}

TEST(PlanSearch, ASearchThatIsDoneHasNothingLeftForACut) {
  PlanSearch search(setting(dense_model(8)), {.keep = 5});
  run_to_end(search);
  EXPECT_TRUE(search.next_of_a_cut().empty());
}

TEST(PlanSearch, WhoKeepsTheLimitsComesFirst) {
  Scenario s = setting(dense_model(8));
  s.training.tokens = 1e12;
  s.cluster.price = Price{UsdPerSecond{2.0 / 3600}, {}};
  s.search.nodes = std::vector<std::int64_t>{1, 2, 4};
  s.search.objective = Objective::usd;
  PlanSearch cheapest(s, {.keep = 1});
  run_to_end(cheapest);
  const double slow = cheapest.ranked().front().days;
  s.search.deadline = Seconds{slow * 0.6 * 86400};
  PlanSearch in_time(s, {.keep = 1});
  run_to_end(in_time);
  EXPECT_LE(in_time.ranked().front().days, slow * 0.6);
  EXPECT_GE(in_time.ranked().front().usd->value(), cheapest.ranked().front().usd->value());
  EXPECT_EQ(in_time.score(in_time.ranked().front()).beyond, 0);
  s.search.deadline = Seconds{1};
  PlanSearch never(s, {.keep = 1});
  run_to_end(never);
  EXPECT_GT(never.score(never.ranked().front()).beyond, 0);
  for (const Ranked& r : never.ranked()) EXPECT_GE(r.days, never.ranked().front().days) << "the least beyond comes first";
}

TEST(PlanSearch, TheBestOfEveryClusterAndSizeIsThere) {
  Scenario s = setting(dense_model(8));
  SearchedCluster other{"other", "", "", s.cluster, s.calibration};
  other.cluster.gpu.peak_bf16 = other.cluster.gpu.peak_bf16 * 0.5;
  s.search.clusters = {{"own", "", "", s.cluster, s.calibration}, other};
  s.search.gpus = std::vector<std::int64_t>{8, 16, 32};
  s.search.micro_batch_size = std::vector<std::int64_t>{1};
  PlanSearch pruned(s, {.keep = 2}), exhaustive(s, {.keep = 1000000});
  run_to_end(pruned);
  run_to_end(exhaustive);
  for (std::size_t cluster : {0u, 1u}) {
    for (const std::int64_t nodes : {1, 2, 4}) {
      const auto here = [&](const Ranked& r) { return r.layout.cluster == cluster && r.layout.nodes == nodes; };
      const auto a = std::find_if(pruned.ranked().begin(), pruned.ranked().end(), here);
      const auto b = std::find_if(exhaustive.ranked().begin(), exhaustive.ranked().end(), here);
      ASSERT_TRUE(a != pruned.ranked().end() && b != exhaustive.ranked().end());
      EXPECT_EQ(a->step.time, b->step.time);
    }
  }
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
}  // namespace trillion::plan_search_test
