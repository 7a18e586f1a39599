// Which layouts there are. The algebra:
//   allowed  every layout passes the checks of sizes, none comes twice
//   axes     an axis that is named takes its values and no others
//   own      the scenario's own plan is always among them, unless a named axis excludes it
#include "sim/planner/search_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "sim/planner/plan_json.h"
#include "sim/workload/feasibility.h"
#include "tests/support/linear_machine.h"

namespace trillion::search_space_test {
namespace {

using namespace testing_support;

Scenario setting(const Model& model = moe_model(8)) {
  Plan plan;
  plan.pipeline_parallel = 4;
  plan.schedule = ScheduleKind::one_f_one_b;
  if (model.moe) plan.expert_parallel = 8;
  return linear_scenario(model, plan, 4, 8 * 16);
}

TEST(SearchSpace, EveryLayoutIsAllowedAndNoneComesTwice) {
  for (const Model& model : {moe_model(8), dense_model(8)}) {
    const Scenario s = setting(model);
    const std::vector<Layout> all = layouts(s);
    EXPECT_GT(all.size(), 50u);
    std::set<std::string> names;
    for (const Layout& l : all) {
      EXPECT_FALSE(why_layout_impossible(with_layout(s, l)));
      EXPECT_TRUE(names.insert(layout_flags(s, l)).second) << layout_flags(s, l);
    }
    EXPECT_EQ(std::count(all.begin(), all.end(), Layout({0, s.cluster.nodes, s.plan})), 1) << "the scenario's own plan";
  }
}

TEST(SearchSpace, NamedAxesTakeTheirValues) {
  Scenario s = setting();
  s.search.tensor_parallel = std::vector<std::int64_t>{1, 2};
  s.search.schedule = std::vector<ScheduleKind>{ScheduleKind::zb_v};
  s.search.expert_parallel = std::vector<std::int64_t>{4};
  s.search.nodes = std::vector<std::int64_t>{2, 4};
  bool two_nodes = false, four_nodes = false;
  for (const Layout& l : layouts(s)) {
    EXPECT_LE(l.plan.tensor_parallel, 2);
    EXPECT_EQ(l.plan.expert_parallel, 4);
    EXPECT_TRUE(l.plan.pipeline_parallel == 1 || l.plan.schedule == ScheduleKind::zb_v);
    two_nodes = two_nodes || l.nodes == 2;
    four_nodes = four_nodes || l.nodes == 4;
  }
  EXPECT_TRUE(two_nodes && four_nodes);
}

TEST(SearchSpace, EveryAxisCanBeOpened) {
  Scenario s = setting();
  s.search.tensor_parallel = std::vector<std::int64_t>{2};
  s.search.context_parallel = std::vector<std::int64_t>{2};
  s.search.pipeline_parallel = std::vector<std::int64_t>{2};
  s.search.data_parallel = std::vector<std::int64_t>{4};
  s.search.expert_parallel = std::vector<std::int64_t>{4};
  s.search.micro_batch_size = std::vector<std::int64_t>{1};
  s.search.schedule = std::vector<ScheduleKind>{ScheduleKind::one_f_one_b};
  s.search.recompute = std::vector<std::vector<RecomputeModule>>{{}};
  const std::size_t usual = layouts(s).size();
  const auto grows = [&](auto open, std::size_t times) {
    Scenario t = s;
    open(t.search);
    EXPECT_EQ(layouts(t).size(), times * usual) << times;
  };
  ASSERT_GT(usual, 0u);
  grows([](Search& q) { q.precision = std::vector{Precision::bf16, Precision::fp8}; }, 2);
  grows([](Search& q) { q.offload = std::vector<std::vector<Offload>>{{}, {Offload::optimizer}, {Offload::activations}}; }, 3);
  grows([](Search& q) { q.expert_placement = std::vector{ExpertPlacement::contiguous, ExpertPlacement::round_robin}; }, 2);
  grows([](Search& q) { q.bucket_parameters = std::vector<double>{1e6, 1e8}; }, 2);
  grows([](Search& q) { q.overlap_gradient_reduce = std::vector<bool>{false, true}; }, 2);
  grows([](Search& q) { q.stage_split = std::vector{StageSplit::time, StageSplit::layers}; }, 2);
  grows([](Search& q) { q.rank_order = std::vector{kMegatronOrder, *rank_order_of_text("tp-cp-dp-ep-pp")}; }, 2);
  grows([](Search& q) { q.sharding_group = std::vector<std::int64_t>{4, 8}; }, 2);
}

TEST(SearchSpace, ClustersBringTheirOwnSizes) {
  Scenario s = setting(dense_model(8));
  SearchedCluster small{"small", "", "", s.cluster, s.calibration}, large = small;
  large.name = "large";
  small.cluster.nodes = 2;
  large.cluster.gpus_per_node = 4;
  s.search.clusters = {small, large};
  s.search.gpus = std::vector<std::int64_t>{16};
  std::set<std::pair<std::size_t, std::int64_t>> sizes;
  for (const Layout& l : layouts(s)) sizes.insert({l.cluster, l.nodes});
  EXPECT_EQ(sizes, (std::set<std::pair<std::size_t, std::int64_t>>{{0, 2}, {1, 4}}));
  for (const Scenario& on : search_clusters(s)) EXPECT_TRUE(on.search.clusters.empty());
}

TEST(SearchSpace, WhatTheOwnPlanFixedStaysItsOwn) {
  Scenario s = setting();
  s.plan.layers_per_stage = std::vector<std::int64_t>{1, 2, 2, 3};
  std::size_t fixed = 0;
  for (const Layout& l : layouts(s)) fixed += l.plan.layers_per_stage ? 1 : 0;
  EXPECT_EQ(fixed, 1u);
}

TEST(SearchSpace, AnAxisThatIsNamedElsewhereDoesNotLoseTheOwnPlan) {
  Scenario s = setting(dense_model(8));
  s.plan.tensor_parallel = 2;  // without sequence parallelism, which is not the usual value
  s.search.nodes = std::vector<std::int64_t>{s.cluster.nodes};
  const std::vector<Layout> all = layouts(s);
  EXPECT_EQ(std::count(all.begin(), all.end(), Layout({0, s.cluster.nodes, s.plan})), 1);
  s.search.tensor_parallel = std::vector<std::int64_t>{4};
  const std::vector<Layout> without = layouts(s);
  EXPECT_EQ(std::count(without.begin(), without.end(), Layout({0, s.cluster.nodes, s.plan})), 0);
}

}  // namespace
}  // namespace trillion::search_space_test
