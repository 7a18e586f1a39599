// What each choice costs. The algebra, over an exhaustive search:
//   every value's layout has the value, and none that was simulated with that value is better
//   the winner's values come first, and cost nothing more
//   a value that nothing with fits is last, and says so
#include "sim/planner/best_by_value.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/linear_machine.h"

namespace trillion::best_by_value_test {
namespace {

using namespace testing_support;

Scenario setting() {
  Plan plan;
  plan.pipeline_parallel = 4;
  Scenario s = linear_scenario(dense_model(8), plan, 2, 64);
  s.search.micro_batch_size = std::vector<std::int64_t>{1, 2, 4};
  s.search.tensor_parallel = std::vector<std::int64_t>{1, 2};
  s.search.schedule = std::vector<ScheduleKind>{ScheduleKind::one_f_one_b, ScheduleKind::gpipe};
  s.search.recompute = std::vector<std::vector<RecomputeModule>>{{}, {RecomputeModule::layer}};
  return s;
}

void run_to_end(PlanSearch& search) {
  for (auto tasks = search.next(); !tasks.empty(); tasks = search.next()) {
    for (const SearchTask& task : tasks) search.take(task, search.perform(task));
  }
}

const AxisBests* axis(const std::vector<AxisBests>& all, const std::string& name) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const AxisBests& a) { return a.axis == name; });
  return found == all.end() ? nullptr : &*found;
}

TEST(BestByValue, NoOtherWithThatValueIsBetter) {
  const Scenario s = setting();
  PlanSearch search(s, {.keep = 100000});
  run_to_end(search);
  const std::vector<AxisBests> all = best_by_value(s, search);
  const AxisBests* batches = axis(all, "micro_batch_size");
  ASSERT_TRUE(batches != nullptr);
  ASSERT_EQ(batches->values.size(), 3u);
  for (const BestOfValue& v : batches->values) {
    ASSERT_TRUE(v.best);
    EXPECT_EQ(std::to_string(search.layouts()[v.best->index].plan.micro_batch_size), v.value);
    for (const Ranked& r : search.ranked()) {
      if (std::to_string(r.layout.plan.micro_batch_size) != v.value) continue;
      EXPECT_LE(v.best->score, search.score(r));
    }
  }
  EXPECT_EQ(axis(all, "precision"), nullptr) << "one value only";
  for (const AxisBests& a : all) {
    ASSERT_TRUE(a.values.front().best);
    EXPECT_GE(a.values.front().best->score, search.score(search.ranked().front()));
  }
  EXPECT_EQ(axis(all, "tensor_parallel")->values.front().best->score, search.score(search.ranked().front()));
}

TEST(BestByValue, BucketsAreAnAxis) {
  Scenario s = setting();
  s.search.tensor_parallel = std::vector<std::int64_t>{1};
  s.search.bucket_parameters = std::vector<double>{1e6, 4e7};
  PlanSearch search(s, {.keep = 100000});
  run_to_end(search);
  const std::vector<AxisBests> all = best_by_value(s, search);
  const AxisBests* buckets = axis(all, "bucket_parameters");
  ASSERT_TRUE(buckets != nullptr);
  ASSERT_EQ(buckets->values.size(), 2u);
  for (const BestOfValue& v : buckets->values) {
    ASSERT_TRUE(v.best);
    EXPECT_EQ(std::to_string(static_cast<std::int64_t>(*search.layouts()[v.best->index].plan.bucket_parameters)), v.value);
  }
}

TEST(BestByValue, WhatDoesNotFitIsLastAndSaysSo) {
  Scenario s = setting();
  PlanSearch roomy(s, {.keep = 100000});
  run_to_end(roomy);
  Bytes least = roomy.ranked().front().peak_memory;
  for (const Ranked& r : roomy.ranked()) {
    if (r.layout.plan.micro_batch_size == 4) least = std::min(least, r.peak_memory);
  }
  s.cluster.gpu.usable_memory = least * 0.999;
  PlanSearch search(s, {.keep = 100000});
  run_to_end(search);
  ASSERT_FALSE(search.ranked().empty());
  const std::vector<AxisBests> all = best_by_value(s, search);
  const AxisBests* batches = axis(all, "micro_batch_size");
  ASSERT_TRUE(batches != nullptr);
  EXPECT_EQ(batches->values.back().value, "4");
  EXPECT_FALSE(batches->values.back().best);
}

TEST(BestByValue, EveryValueThatWasSimulatedIsThere) {
  PlanSearch search(setting(), {.keep = 100000});
  run_to_end(search);
  const std::vector<std::size_t> best = best_simulated_by_value(search);
  ASSERT_FALSE(best.empty());
  EXPECT_EQ(best.front(), 0u);
  EXPECT_TRUE(std::is_sorted(best.begin(), best.end()));
  for (const std::int64_t batch : {1, 2, 4}) {
    EXPECT_TRUE(
        std::any_of(best.begin(), best.end(), [&](std::size_t i) { return search.ranked()[i].layout.plan.micro_batch_size == batch; }));
  }
  EXPECT_LT(best.size(), search.ranked().size() / 4);
}

}  // namespace
}  // namespace trillion::best_by_value_test
