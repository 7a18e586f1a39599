// The first drawn micro-batch token by token: it has every token of the group, and is one of those that expert_load() takes means of.
#include "sim/moe/drawn_traffic.h"

#include <gtest/gtest.h>

#include <numeric>

#include "sim/base/error.h"
#include "tests/moe/support/routed_models.h"

namespace trillion::drawn_traffic_test {
namespace {

Model limited() { return mixture(64, 6, 4, 2); }

Training training(Balance balance) {
  Training result;
  result.sequence_length = 2048;
  result.routing.balance = balance;
  return result;
}

const ExpertGroup kGroup{32, 8, 2048};

TEST(DrawnTraffic, HasEveryToken) {
  for (const Balance balance : {Balance::forced, Balance::loss_free, Balance::none}) {
    const Traffic traffic = drawn_traffic(limited(), {}, training(balance), kGroup, 3);
    EXPECT_EQ(traffic.tokens, 32 * 2048);
    EXPECT_EQ(std::accumulate(traffic.rank_load.begin(), traffic.rank_load.end(), 0.0), 6 * 32 * 2048);
  }
}

TEST(DrawnTraffic, IsTheFirstSampleItself) {
  const LayerRouting exact = routing_of(drawn_traffic(limited(), {}, training(Balance::loss_free), kGroup, 3), kGroup);
  const LayerRouting sample = expert_load(limited(), {}, training(Balance::loss_free), kGroup, 3, {1, 1}).samples.at(0);
  EXPECT_NEAR(sample.rank_load_max_over_mean / exact.rank_load_max_over_mean, 1, 0.03);
  EXPECT_NEAR(sample.remote_nodes_per_token / exact.remote_nodes_per_token, 1, 0.01);
  for (std::size_t r = 0; r < 32; ++r) EXPECT_NEAR(sample.rank_load[r], exact.rank_load[r], 0.06) << "rank " << r;
}

TEST(DrawnTraffic, CapacityAndMeasuredLoads) {
  Training how = training(Balance::measured);
  for (std::int64_t e = 0; e < 64; ++e) how.routing.loads.push_back({5, e, e == 9 ? 300.0 : 100.0});
  const Traffic all = drawn_traffic(limited(), {}, how, kGroup, 1);
  EXPECT_NEAR(all.expert_load[9] / all.expert_load[8], 3, 0.3);
  how.routing.capacity_factor = 1.0;
  const Traffic kept = drawn_traffic(limited(), {}, how, kGroup, 1);
  EXPECT_LE(kept.expert_load[9], 32 * 192) << "1.0 x 2048 x 6 / 64 from each rank";
  EXPECT_LT(kept.expert_load[9], 0.5 * all.expert_load[9]);
  how.routing.pad_to_capacity = true;
  EXPECT_THROW(drawn_traffic(limited(), {}, how, kGroup, 1), InputError);
}

}  // namespace
}  // namespace trillion::drawn_traffic_test
