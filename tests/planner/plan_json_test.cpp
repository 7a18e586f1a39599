// What a search found, for programs: the schema's fields; flags that lead back to the layout.
#include "sim/planner/plan_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "sim/spec/load.h"
#include "tests/support/linear_machine.h"

namespace trillion::plan_json_test {
namespace {

using namespace testing_support;

TEST(PlanJson, HasTheFieldsOfItsSchema) {
  Plan plan;
  plan.pipeline_parallel = 2;
  Scenario s = linear_scenario(dense_model(4), plan, 1, 16);
  s.search.micro_batch_size = std::vector<std::int64_t>{1};
  PlanSearch search(s, {.keep = 3});
  for (auto tasks = search.next(); !tasks.empty(); tasks = search.next()) {
    for (const SearchTask& task : tasks) search.take(task, search.perform(task));
  }
  const auto json = nlohmann::json::parse(plan_json(s, {search, 3}, Seconds{1.5}));
  EXPECT_EQ(json.at("schema"), "trillion.plan/1");
  EXPECT_EQ(json.at("wall_s"), 1.5);
  EXPECT_EQ(json.at("complete"), true);
  const auto& candidates = json.at("candidates");
  EXPECT_EQ(candidates.at("enumerated").get<std::size_t>(),
            candidates.at("pruned_by_memory").get<std::size_t>() + candidates.at("pruned_by_bound").get<std::size_t>() +
                candidates.at("pruned_by_screening").get<std::size_t>() + candidates.at("simulated").get<std::size_t>());
  ASSERT_EQ(json.at("ranked").size(), 3u);
  const auto& best = json.at("ranked").at(0);
  EXPECT_TRUE(best.at("plan").at("data_parallel").is_number());
  EXPECT_GT(best.at("answer").at("gpu_hours_per_trillion_tokens").get<double>(), 0);
  EXPECT_GT(best.at("step").at("mfu_causal").get<double>(), 0);
  EXPECT_GT(best.at("memory").at("peak_bytes").get<double>(), 0);
  EXPECT_FALSE(json.at("pareto").empty());
}

TEST(PlanJson, FlagsLeadBackToTheLayout) {
  const std::string path = std::string(TRILLION_SOURCE_DIR) + "/scenarios/deepseek-v3";
  Scenario base = load_scenario(path);
  base.search.tensor_parallel = std::vector<std::int64_t>{1, 2};
  base.search.expert_parallel = std::vector<std::int64_t>{32, 64};
  base.search.micro_batch_size = std::vector<std::int64_t>{1, 2};
  std::size_t i = 0;
  for (const Layout& layout : layouts(base)) {
    if (i++ % 171 != 0) continue;  // some of all kinds
    std::vector<std::string> overrides;
    std::istringstream words(layout_flags(base, layout));
    for (std::string word; words >> word;) {
      if (word != "--set") overrides.push_back(word);
    }
    const Scenario read = load_scenario(path, overrides);
    EXPECT_EQ(read.plan, layout.plan) << layout_flags(base, layout);
    EXPECT_EQ(read.cluster.nodes, layout.nodes);
  }
  EXPECT_GT(i, 100u);
}

}  // namespace
}  // namespace trillion::plan_json_test
