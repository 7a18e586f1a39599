#include "sim/planner/work_sharing.h"

#include "sim/base/parallel_for.h"

namespace trillion {

std::vector<std::string> perform_all(const PlanSearch& search, const std::vector<SearchTask>& tasks, unsigned threads) {
  std::vector<std::string> results(tasks.size());
  parallel_for(tasks.size(), threads, [&](std::size_t i) { results[i] = search.perform(tasks[i]); });
  return results;
}

}  // namespace trillion
