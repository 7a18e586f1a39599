// What screening takes for every micro-batch's load, by hand.
#include "sim/planner/screening_load.h"

#include <gtest/gtest.h>

#include "tests/support/linear_machine.h"

namespace trillion::screening_load_test {
namespace {

using namespace testing_support;

LayerRouting routing(double busiest_rank, double busiest_nic) {
  LayerRouting r;
  r.rank_load_max_over_mean = busiest_rank;
  r.scale_out_max_over_mean = busiest_nic;
  r.rank_load = {busiest_rank, 2 - busiest_rank};
  return r;
}

ExpertLoad drawn() {
  ExpertLoad load;
  load.balance = Balance::loss_free;
  load.seed = 7;
  load.mean = routing(1.2, 1.3);
  load.samples = {routing(1.1, 1.5), routing(1.3, 1.1)};
  return load;
}

TEST(ScreeningLoad, FlatIsTheMeanForEveryMicroBatch) {
  const ExpertLoad load = flat(drawn());
  ASSERT_EQ(load.samples.size(), 1u);
  EXPECT_EQ(load.samples[0].rank_load_max_over_mean, 1.2);
  EXPECT_EQ(load.mean.scale_out_max_over_mean, 1.3);
  EXPECT_EQ(load.balance, Balance::loss_free);
  EXPECT_EQ(load.seed, 7u);
  EXPECT_TRUE(flat(ExpertLoad{}).samples.empty());
}

TEST(ScreeningLoad, NoMicroBatchIsBelowTheLeast) {
  const LayerRouting least = least_of(drawn());
  EXPECT_EQ(least.rank_load_max_over_mean, 1.1);
  EXPECT_EQ(least.scale_out_max_over_mean, 1.1);
  EXPECT_TRUE(least.rank_load.empty()) << "the same on every rank";
}

// At the worst all tokens choose the same experts: of a capacity, the share of experts that a token chooses is served.
TEST(ScreeningLoad, ACapacityMayLeaveOneExpertsRowsOnly) {
  Scenario s = linear_scenario(moe_model(4), {}, 1, 8);
  const double chosen = static_cast<double>(s.model.moe->num_experts_per_tok) / static_cast<double>(s.model.moe->n_routed_experts);
  EXPECT_EQ(least_load(s).served, LayerRouting{}.served) << "without one nothing is dropped";
  s.training.routing.capacity_factor = 0.5;
  EXPECT_DOUBLE_EQ(least_load(s).served, 0.5 * chosen);
  s.training.routing.capacity_factor = 2 / chosen;
  EXPECT_DOUBLE_EQ(least_load(s).served, 1) << "no more rows than there are";
  s.training.routing.pad_to_capacity = true;
  EXPECT_DOUBLE_EQ(least_load(s).served, 2 / chosen) << "empty places run too";
}

}  // namespace
}  // namespace trillion::screening_load_test
