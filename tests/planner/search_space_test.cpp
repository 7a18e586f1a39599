// Which layouts there are. The algebra:
//   allowed  every layout passes the checks of sizes, none comes twice
//   axes     an axis that is named takes its values and no others
//   own      the scenario's own plan is always among them, unless a named axis excludes it
#include "sim/planner/search_space.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/workload/feasibility.h"
#include "tests/support/linear_machine.h"

namespace trillion {
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
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_FALSE(why_layout_impossible(with_layout(s, all[i])));
      EXPECT_EQ(std::count(all.begin() + static_cast<std::ptrdiff_t>(i), all.end(), all[i]), 1);
    }
    EXPECT_EQ(std::count(all.begin(), all.end(), Layout({s.cluster.nodes, s.plan})), 1) << "the scenario's own plan";
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
  EXPECT_EQ(std::count(all.begin(), all.end(), Layout({s.cluster.nodes, s.plan})), 1);
  s.search.tensor_parallel = std::vector<std::int64_t>{4};
  const std::vector<Layout> without = layouts(s);
  EXPECT_EQ(std::count(without.begin(), without.end(), Layout({s.cluster.nodes, s.plan})), 0);
}

}  // namespace
}  // namespace trillion
