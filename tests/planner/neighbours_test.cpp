// Plans one step away. The algebra:
//   flags    what a change says is what it does: the scenario read again with its flags has the same plan
//   order    runnable ones by gain, then the others; a gain is the share of the base's time that is saved
//   training stays: same tokens and batch
#include "sim/planner/neighbours.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "sim/spec/load.h"
#include "tests/support/linear_machine.h"

namespace trillion::neighbours_test {
namespace {

using namespace testing_support;

std::vector<std::string> overrides_of(const std::string& flags) {
  std::vector<std::string> out;
  std::istringstream words(flags);
  for (std::string word; words >> word;) {
    if (word != "--set") out.push_back(word);
  }
  return out;
}

TEST(Neighbours, FlagsSayWhatChanges) {
  const std::string path = std::string(TRILLION_SOURCE_DIR) + "/scenarios/deepseek-v3";
  const Scenario base = load_scenario(path, {"plan.data_parallel=128"});
  std::set<std::string> seen;
  for (const Change& change : neighbours(base)) {
    SCOPED_TRACE(change.what);
    EXPECT_TRUE(seen.insert(change.what).second) << "twice";
    std::vector<std::string> overrides = overrides_of(change.what);
    overrides.insert(overrides.begin(), "plan.data_parallel=128");
    const Scenario read = load_scenario(path, overrides);
    EXPECT_EQ(read.plan, change.scenario.plan);
    EXPECT_NE(read.plan, base.plan);
    EXPECT_EQ(change.scenario.training.global_batch_size, base.training.global_batch_size);
  }
  EXPECT_GT(seen.size(), 15u);
  EXPECT_TRUE(seen.contains("--set plan.schedule=1f1b"));
  EXPECT_TRUE(seen.contains("--set plan.tensor_parallel=2 --set plan.data_parallel=null"));
}

TEST(Neighbours, MemoryIsExchangedForRecomputation) {
  Plan plan;
  plan.expert_parallel = 4;
  const Scenario s = linear_scenario(moe_model(8), plan, 1, 64);
  std::set<std::string> seen;
  const std::vector<Change> changes = neighbours(s);
  for (std::size_t i = 0; i < changes.size(); ++i) {
    seen.insert(changes[i].what);
    for (std::size_t j = 0; j < i; ++j)
      EXPECT_NE(changes[i].scenario.plan, changes[j].scenario.plan) << changes[i].what << " " << changes[j].what;
  }
  EXPECT_TRUE(seen.contains("--set plan.micro_batch_size=4 --set plan.recompute=full"));
  EXPECT_TRUE(seen.contains("--set plan.expert_parallel=2 --set plan.recompute=selective"));
  EXPECT_TRUE(seen.contains("--set plan.overlap_parameter_gather=true"));
}

TEST(Neighbours, SelectiveRecomputationIsTheStacks) {
  Plan plan;
  Scenario s = linear_scenario(dense_model(4), plan, 1, 16);
  s.calibration.stack.unfused.value = {UnfusedPart::attention};
  bool found = false;
  for (const Change& change : neighbours(s)) {
    if (change.what != "--set plan.recompute=selective") continue;
    EXPECT_EQ(change.scenario.plan.recompute, std::vector{RecomputeModule::attention});
    found = true;
  }
  EXPECT_TRUE(found);
}

TEST(Neighbours, TheBestComesFirstAndWhatCannotRunLast) {
  Plan plan;
  plan.schedule = ScheduleKind::gpipe;
  plan.pipeline_parallel = 4;
  const Scenario s = linear_scenario(dense_model(8), plan, 1, 16);
  const StepResult base = std::get<StepResult>(simulate_step(s));
  const std::vector<TriedChange> tried = try_changes(base, neighbours(s), 2);
  ASSERT_EQ(tried.size(), neighbours(s).size());
  bool refused = false;
  double last = 1;
  for (const TriedChange& change : tried) {
    if (const auto* step = std::get_if<StepResult>(&change.outcome)) {
      EXPECT_FALSE(refused);
      EXPECT_LE(change.gain, last);
      EXPECT_DOUBLE_EQ(change.gain, 1 - step->time / base.time);
      last = change.gain;
    } else {
      refused = true;
      EXPECT_EQ(change.gain, 0);
    }
  }
  EXPECT_GT(tried.front().gain, 0) << "a pipeline of GPipe has a bubble that another schedule fills";
}

TEST(Neighbours, ReliefNeverLengthensTheStep) {
  Plan plan;
  plan.expert_parallel = 16;
  Scenario s = linear_scenario(moe_model(4), plan, 8, 64);
  s.training.routing.balance = Balance::loss_free;
  const StepResult base = std::get<StepResult>(simulate_step(s));
  const std::vector<TriedChange> tried = try_changes(base, relieved(s));
  EXPECT_EQ(tried.size(), 3u);
  for (const TriedChange& change : tried) EXPECT_GE(change.gain, -1e-9) << change.what;
}

}  // namespace
}  // namespace trillion::neighbours_test
