// Threads do a search's work: results are in the order of the tasks, the same bytes for any number of them.
#include "sim/planner/work_sharing.h"

#include <gtest/gtest.h>

#include "tests/support/linear_machine.h"

namespace trillion::work_sharing_test {
namespace {

using namespace testing_support;

TEST(WorkSharing, ThreadsChangeNoByte) {
  Scenario s = linear_scenario(dense_model(8), {}, 1, 16);
  s.search.micro_batch_size = std::vector<std::int64_t>{1};
  PlanSearch search(s, {});
  const std::vector<SearchTask> tasks = search.next();
  ASSERT_GT(tasks.size(), 4u);
  const std::vector<std::string> one = perform_all(search, tasks, 1);
  EXPECT_EQ(perform_all(search, tasks, 3), one);
  for (std::size_t i = 0; i < tasks.size(); ++i) EXPECT_EQ(search.perform(tasks[i]), one[i]);
}

}  // namespace
}  // namespace trillion::work_sharing_test
