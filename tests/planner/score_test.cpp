// What is minimised. The algebra:
//   more time is never better; twice the nodes at half the time cost the same GPU-hours and USD, and half the days
//   who keeps a limit comes before who does not, whatever the objective; of two beyond it the one less beyond
#include "sim/planner/score.h"

#include <gtest/gtest.h>

#include "tests/support/linear_machine.h"

namespace trillion::score_test {
namespace {

using namespace testing_support;

Scenario setting(Objective objective) {
  Scenario s = linear_scenario(dense_model(4), {}, 2, 16);
  s.training.tokens = 1e12;
  s.cluster.price = Price{UsdPerSecond{2.0 / 3600}, {}};
  s.search.objective = objective;
  return s;
}

TEST(Score, MoreTimeIsNeverBetter) {
  for (const Objective o : {Objective::gpu_hours, Objective::usd, Objective::days}) {
    EXPECT_LT(score_of(setting(o), 2, Seconds{1}), score_of(setting(o), 2, Seconds{1.5}));
  }
}

TEST(Score, TwiceTheNodesAtHalfTheTime) {
  for (const Objective o : {Objective::gpu_hours, Objective::usd}) {
    EXPECT_DOUBLE_EQ(score_of(setting(o), 2, Seconds{2}).value, score_of(setting(o), 4, Seconds{1}).value);
  }
  EXPECT_DOUBLE_EQ(score_of(setting(Objective::days), 2, Seconds{2}).value, 2 * score_of(setting(Objective::days), 4, Seconds{1}).value);
  const double hours = score_of(setting(Objective::gpu_hours), 2, Seconds{2}).value;
  EXPECT_NEAR(score_of(setting(Objective::usd), 2, Seconds{2}).value, 2 * hours, 1e-9 * hours);
}

TEST(Score, LimitsComeBeforeTheObjective) {
  Scenario s = setting(Objective::gpu_hours);
  s.search.deadline = Seconds{score_of(setting(Objective::days), 2, Seconds{1}).value};
  const Score in_time = score_of(s, 8, Seconds{1}), cheap_but_late = score_of(s, 2, Seconds{1.1}), later = score_of(s, 2, Seconds{1.2});
  EXPECT_LT(cheap_but_late.value, in_time.value);
  EXPECT_LT(in_time, cheap_but_late);
  EXPECT_LT(cheap_but_late, later);
  EXPECT_EQ(in_time.beyond, 0);
  EXPECT_NEAR(cheap_but_late.beyond, 0.1, 1e-12);
}

TEST(Score, WithoutAPriceNoBudgetIsKept) {
  Scenario s = setting(Objective::gpu_hours);
  s.search.budget = Usd{1e30};
  EXPECT_EQ(score_of(s, 2, Seconds{1}).beyond, 0);
  s.cluster.price.reset();
  EXPECT_GT(score_of(s, 2, Seconds{1}).beyond, 1e300);
}

}  // namespace
}  // namespace trillion::score_test
