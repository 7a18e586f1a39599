// Which layout is best, for people: within the page's columns, the winner first, what was left out said.
#include "sim/report/plan_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "tests/support/linear_machine.h"

namespace trillion::plan_page_test {
namespace {

using namespace testing_support;
using testing::AllOf;
using testing::HasSubstr;

Scenario setting() {
  Plan plan;
  plan.pipeline_parallel = 2;
  Scenario s = linear_scenario(dense_model(4), plan, 1, 16);
  s.search.micro_batch_size = std::vector<std::int64_t>{1};
  return s;
}

void run_to_end(PlanSearch& search) {
  for (auto tasks = search.next(); !tasks.empty(); tasks = search.next()) {
    for (const SearchTask& task : tasks) search.take(task, search.perform(task));
  }
}

TEST(PlanPage, RanksAndSaysWhatWasLeftOut) {
  const Scenario s = setting();
  PlanSearch search(s, {.keep = 3});
  run_to_end(search);
  const std::string page = plan_page(s, {search, 3}, {});
  EXPECT_THAT(page, AllOf(HasSubstr("RANKED"), HasSubstr("PARETO"), HasSubstr("do not fit in memory"), HasSubstr("THE WINNER")));
  EXPECT_THAT(page, testing::Not(HasSubstr("not looked at")));
}

TEST(PlanPage, ACutSearchSaysSo) {
  const Scenario s = setting();
  PlanSearch search(s, {.keep = 1000});
  for (auto tasks = search.next(); search.ranked().empty(); tasks = search.next()) {
    for (const SearchTask& task : tasks) search.take(task, search.perform(task));
  }
  std::string page = plan_page(s, {search, 3}, {});
  std::replace(page.begin(), page.end(), '\n', ' ');  // wherever the line broke
  EXPECT_THAT(page, testing::ContainsRegex("not +looked +at +to +the +end"));
}

TEST(PlanPage, ALimitThatNobodyKeepsIsNamedWithWhatIsMissing) {
  Scenario s = setting();
  s.training.tokens = 1e12;
  s.search.deadline = Seconds{86400};
  PlanSearch search(s, {.keep = 3});
  run_to_end(search);
  EXPECT_THAT(plan_page(s, {search, 3}, {}), HasSubstr("no layout ends within"));
}

TEST(PlanPage, FarBeyondALimitIsSaidAsAMultiple) {
  Scenario s = setting();
  s.training.tokens = 1e12;
  s.search.deadline = Seconds{1};
  PlanSearch search(s, {.keep = 3});
  run_to_end(search);
  EXPECT_THAT(plan_page(s, {search, 3}, {}), HasSubstr(" times as much"));
}

TEST(PlanPage, SizesAreACurve) {
  Scenario s = setting();
  s.search.nodes = std::vector<std::int64_t>{1, 2};
  PlanSearch search(s, {.keep = 3});
  run_to_end(search);
  EXPECT_THAT(plan_page(s, {search, 3}, {}), AllOf(HasSubstr("BY SIZE"), HasSubstr("8 GPUs"), HasSubstr("16 GPUs")));
}

TEST(PlanPage, WhereNothingFitsTheClosestIsNamed) {
  Scenario s = setting();
  s.cluster.gpu.usable_memory = Bytes{1e6};
  PlanSearch search(s, {});
  run_to_end(search);
  EXPECT_THAT(no_plan_page(s, search, {}), AllOf(HasSubstr("no layout can run"), HasSubstr("closest: ")));
}

TEST(PlanPage, ValuesThatMakeNoLayoutAreNamedAsTheReason) {
  Scenario s = setting();
  s.search.tensor_parallel = std::vector<std::int64_t>{3};
  PlanSearch search(s, {});
  run_to_end(search);
  EXPECT_THAT(no_plan_page(s, search, {}),
              AllOf(HasSubstr("no layout can run"), HasSubstr("must divide the GPUs"), HasSubstr("micro_batch_size")));
}

TEST(PlanPage, LayoutsReadShort) {
  Plan p;
  p.tensor_parallel = 4;
  p.sequence_parallel = true;
  p.pipeline_parallel = 8;
  p.virtual_pipeline_stages = 2;
  p.schedule = ScheduleKind::interleaved_1f1b;
  p.data_parallel = 16;
  EXPECT_EQ(layout_text({0, 1, p}), "tp4+sp pp8x2 dp16 mbs1 interleaved-1f1b zero-1");
}

}  // namespace
}  // namespace trillion::plan_page_test
