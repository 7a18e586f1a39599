// Who shares the work. Alone, without mpirun, it is this process and its threads; with others, tests/cli/mpi_test.py compares bytes.
#include "sim/planner/processes.h"

#include <gtest/gtest.h>

#include "sim/planner/work_sharing.h"
#include "tests/support/linear_machine.h"

namespace trillion::processes_test {
namespace {

using namespace testing_support;

TEST(Processes, AloneItIsTheThreadsOfThisProcess) {
  Scenario s = linear_scenario(dense_model(8), {}, 1, 16);
  s.search.micro_batch_size = std::vector<std::int64_t>{1};
  PlanSearch search(s, {});
  const std::vector<SearchTask> tasks = search.next();
  Processes alone(2);
  EXPECT_TRUE(alone.first());
  EXPECT_EQ(alone.count(), 1);
  EXPECT_EQ(alone.perform_all(search, tasks), perform_all(search, tasks, 1));
}

}  // namespace
}  // namespace trillion::processes_test
