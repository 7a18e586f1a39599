// Routers drawn once for many plans. The algebra: what each plan's routing comes out at is what it comes out at alone, bit by bit.
#include "sim/estimate/shared_routing.h"

#include <gtest/gtest.h>

#include "tests/support/linear_machine.h"

namespace trillion::shared_routing_test {
namespace {

using namespace testing_support;

void expect_same(const LayerRouting& a, const LayerRouting& b) {
  EXPECT_EQ(a.rank_load, b.rank_load);
  EXPECT_EQ(a.scale_out, b.scale_out);
  EXPECT_EQ(a.rank_load_max_over_mean, b.rank_load_max_over_mean);
  EXPECT_EQ(a.tokens_per_expert_max_over_mean, b.tokens_per_expert_max_over_mean);
  EXPECT_EQ(a.nodes_per_token, b.nodes_per_token);
  EXPECT_EQ(a.served, b.served);
}

TEST(SharedRouting, IsWhatEachPlanDrawsAlone) {
  for (const Balance balance : {Balance::loss_free, Balance::none, Balance::forced}) {
    SharedRouting shared;
    for (const std::int64_t ranks : {4, 8, 16}) {
      for (const ExpertExchange exchange : {ExpertExchange::deduplicated, ExpertExchange::all_to_all}) {
        Plan plan;
        plan.expert_parallel = ranks;
        plan.expert_exchange = exchange;
        Scenario s = linear_scenario(moe_model(2), plan, 2, 64);
        s.training.routing.balance = balance;
        const DeviceMesh mesh(s.plan, s.cluster);
        const ExpertLoad alone = load_of(s, mesh), together = shared.load_of(s, mesh);
        ASSERT_EQ(alone.samples.size(), together.samples.size());
        for (std::size_t i = 0; i < alone.samples.size(); ++i) expect_same(alone.samples[i], together.samples[i]);
        expect_same(alone.mean, together.mean);
        EXPECT_EQ(alone.free_nodes_per_token, together.free_nodes_per_token);
        EXPECT_EQ(alone.layers.size(), together.layers.size());
      }
    }
  }
}

TEST(SharedRouting, ADenseModelHasNone) {
  SharedRouting shared;
  const Scenario s = linear_scenario(dense_model(2), {}, 2, 64);
  EXPECT_TRUE(shared.load_of(s, DeviceMesh(s.plan, s.cluster)).samples.empty());
}

}  // namespace
}  // namespace trillion::shared_routing_test
