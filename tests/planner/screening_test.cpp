// Layouts before they are simulated. The algebra, for every layout of small scenarios:
//   memory   the peak is the one that simulation finds, also where a long step was cut short
//   bound    bound <= screened time, bound <= simulated step
//   time     close to the simulated step
//   groups   every layout is in one group, and what is said about it does not depend on which others are there
#include "sim/planner/screening.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "sim/planner/plan_json.h"
#include "sim/spec/load.h"
#include "sim/workload/feasibility.h"
#include "tests/support/linear_machine.h"

namespace trillion {
namespace {

using namespace testing_support;

// Every so-and-so-many-th layout of the space, simulated beside its screening.
struct Compared {
  std::size_t layouts = 0, timed = 0;
  double largest_over = 0, largest_under = 0, largest_peak_error = 0;
};

Compared compare(const Scenario& scenario, std::size_t step) {
  const std::vector<Scenario> clusters = search_clusters(scenario);
  const std::vector<Layout> all = layouts(clusters);
  const Screening screening(clusters, all);
  Compared c;
  std::vector<std::size_t> seen(all.size());
  std::size_t fits = 0;
  for (std::size_t g = 0; g < screening.groups().size(); ++g) {
    const std::vector<Screened> group = screening.screen(g);
    for (std::size_t i = 0; i < group.size(); ++i) {
      const std::size_t index = screening.groups()[g][i];
      ++seen[index];
      if (!group[i].fits || fits++ % step != 0) continue;
      const std::string name = layout_flags(scenario, all[index]);
      const Scenario s = screening.scenario(all[index]);
      const auto known = s.model.moe ? std::optional(screening.load(s, 0)) : std::nullopt;
      const auto outcome = lay_out(s, screening.timing(all[index]), known);
      const auto* prepared = std::get_if<PreparedStep>(&outcome);
      if (!prepared) {
        ADD_FAILURE() << name;
        continue;
      }
      Bytes peak;
      for (const StageMemory& m : prepared->memory) peak = std::max(peak, m.peak());
      c.largest_peak_error = std::max(c.largest_peak_error, std::abs(group[i].peak / peak - 1));
      const Seconds simulated = simulate_prepared(s, *prepared, screening.timing(all[index])).time;
      EXPECT_LE(group[i].bound.value(), simulated.value() * (1 + 1e-9)) << name;
      ++c.layouts;
      if (!group[i].time) continue;
      EXPECT_LE(group[i].bound, *group[i].time) << name;
      const double error = *group[i].time / simulated - 1;
      c.largest_over = std::max(c.largest_over, error);
      c.largest_under = std::max(c.largest_under, -error);
      ++c.timed;
    }
  }
  EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](std::size_t n) { return n == 1; }));
  return c;
}

TEST(Screening, PropertyDenseLayoutsAreToldWell) {
  Plan plan;
  plan.pipeline_parallel = 4;
  Scenario s = linear_scenario(dense_model(8), plan, 2, 64);
  s.search.micro_batch_size = std::vector<std::int64_t>{1, 2};
  s.search.tensor_parallel = std::vector<std::int64_t>{1, 2};
  const Compared c = compare(s, 3);
  EXPECT_GT(c.timed, 100u);
  EXPECT_LE(c.largest_over, 0.02);
  EXPECT_LE(c.largest_under, 0.08);
  EXPECT_LE(c.largest_peak_error, 1e-12);
}

TEST(Screening, PropertyLayoutsWithExpertsAreToldWell) {
  Plan plan;
  plan.pipeline_parallel = 4;
  plan.expert_parallel = 4;
  Scenario s = linear_scenario(moe_model(8), plan, 2, 64);
  s.search.micro_batch_size = std::vector<std::int64_t>{1};
  s.search.tensor_parallel = std::vector<std::int64_t>{1, 2};
  s.search.expert_parallel = std::vector<std::int64_t>{1, 4};
  s.training.routing.balance = Balance::loss_free;
  const Compared c = compare(s, 5);
  EXPECT_GT(c.timed, 100u);
  EXPECT_LE(c.largest_over, 0.03);
  EXPECT_LE(c.largest_under, 0.08);
  EXPECT_LE(c.largest_peak_error, 1e-12);
}

// On DeepSeek-V3's own cluster, as measured: 13.7 % too long (1f1b and the zero-bubble schedules), 11 % too short (tensor parallel
// experts), one layout's peak 0.24 % too high. Screening knows neither that micro-batches differ nor all that waits beside kernels; each
// search measures it on its own layouts and allows for as much.
TEST(Screening, SlowDeepSeekV3IsToldWell) {
  Scenario s = load_scenario(std::string(TRILLION_SOURCE_DIR) + "/scenarios/deepseek-v3");
  s.search.tensor_parallel = std::vector<std::int64_t>{1, 2};
  s.search.expert_parallel = std::vector<std::int64_t>{16, 64};
  s.search.micro_batch_size = std::vector<std::int64_t>{1};
  const Compared c = compare(s, 16);
  EXPECT_GT(c.timed, 40u);
  EXPECT_LE(c.largest_over, 0.14);
  EXPECT_LE(c.largest_under, 0.115);
  EXPECT_LE(c.largest_peak_error, 0.0025);
}

}  // namespace
}  // namespace trillion
