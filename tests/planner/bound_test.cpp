// A bound is below what it bounds: for every layout of small scenarios,
//   work_bound <= schedule_bound <= simulated step
#include "sim/planner/bound.h"

#include <gtest/gtest.h>

#include <string>

#include "sim/planner/plan_json.h"
#include "sim/workload/feasibility.h"
#include "tests/support/linear_machine.h"

namespace trillion {
namespace {

using namespace testing_support;

void expect_bounds(Scenario scenario) {
  scenario.search.micro_batch_size = std::vector<std::int64_t>{1, 2};
  std::size_t looked_at = 0;
  for (const Layout& layout : layouts(scenario)) {
    const Scenario s = with_layout(scenario, layout);
    const Timing timing(s.calibration, s.cluster);
    const auto outcome = lay_out(s, timing);
    const auto* step = std::get_if<PreparedStep>(&outcome);
    if (!step) continue;
    const Seconds work = work_bound(s, timing), schedule = schedule_bound(s, *step, timing);
    const Seconds simulated = simulate_prepared(s, *step, timing).time;
    const double rounding = 1 + 1e-9;
    EXPECT_LE(work.value(), schedule.value() * rounding) << layout_flags(scenario, layout);
    EXPECT_LE(schedule.value(), simulated.value() * rounding) << layout_flags(scenario, layout);
    ++looked_at;
  }
  EXPECT_GT(looked_at, 40u);
}

TEST(Bound, PropertyNoStepUndercutsItDense) {
  Plan plan;
  plan.pipeline_parallel = 4;
  Scenario s = linear_scenario(dense_model(8), plan, 2, 32);
  s.search.schedule = std::vector<ScheduleKind>{ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved_1f1b,
                                                ScheduleKind::zb_h1, ScheduleKind::zb_v,        ScheduleKind::dualpipe};
  expect_bounds(s);
}

TEST(Bound, PropertyNoStepUndercutsItWithExperts) {
  Plan plan;
  plan.pipeline_parallel = 4;
  plan.expert_parallel = 4;
  Scenario s = linear_scenario(moe_model(8), plan, 2, 32);
  s.search.tensor_parallel = std::vector<std::int64_t>{1, 2};
  s.search.expert_parallel = std::vector<std::int64_t>{1, 4};
  s.search.schedule = std::vector<ScheduleKind>{ScheduleKind::one_f_one_b, ScheduleKind::dualpipe, ScheduleKind::dualpipe_v};
  s.training.routing.balance = Balance::loss_free;
  expect_bounds(s);
}

}  // namespace
}  // namespace trillion
