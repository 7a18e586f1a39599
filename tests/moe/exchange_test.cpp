// Every copy on its own wire. The algebra:
//   all     what leaves a rank and what stays add up to the copies of a token
//   even    of r ranks, p to a node: (p - 1) / r of the copies cross a node's wires, (r - p) / r the network
//   uneven  a rank with twice the load has twice the copies on its NIC
#include "sim/moe/exchange.h"

#include <gtest/gtest.h>

namespace trillion::exchange_test {
namespace {

LayerRouting sent(std::int64_t ranks, std::int64_t per_node, std::int64_t top_k, std::vector<double> rank_load = {}) {
  ExpertLoad load;
  load.samples.resize(1);
  load.samples[0].rank_load = rank_load;
  const ExpertGroup group{ranks, per_node, 4096};
  return every_copy_sent(load, group, top_k).samples[0];
}

TEST(Exchange, EvenLoadInClosedForm) {
  for (const auto& [ranks, per_node] : {std::pair{1, 1}, {8, 8}, {16, 8}, {64, 8}, {4, 1}}) {
    const LayerRouting r = sent(ranks, per_node, 8);
    EXPECT_DOUBLE_EQ(r.local_ranks_per_token, 8.0 * (per_node - 1) / ranks);
    EXPECT_DOUBLE_EQ(r.remote_nodes_per_token, 8.0 * (ranks - per_node) / ranks);
    EXPECT_DOUBLE_EQ(r.local_ranks_per_token + r.remote_nodes_per_token, 8.0 * (ranks - 1) / ranks);
    EXPECT_NEAR(r.scale_out_max_over_mean, 1, 1e-12);
  }
}

TEST(Exchange, TheBusiestRankHasTheBusiestNic) {
  const LayerRouting r = sent(4, 2, 2, {2, 1, 0.5, 0.5});
  EXPECT_DOUBLE_EQ(r.local_ranks_per_token + r.remote_nodes_per_token, 2.0 * 3 / 4);
  EXPECT_DOUBLE_EQ(r.remote_nodes_per_token, 1) << "half of all copies, whichever node they are for";
  EXPECT_DOUBLE_EQ(r.scale_out[0], 2) << "it gets half the copies of two senders";
  EXPECT_DOUBLE_EQ(r.scale_out[2], 1.5) << "what it sends: three quarters of its copies";
  EXPECT_DOUBLE_EQ(r.scale_out_max_over_mean, 2);
}

TEST(Exchange, ANodeThatIsNotFull) {
  const LayerRouting r = sent(3, 2, 3);
  EXPECT_DOUBLE_EQ(r.local_ranks_per_token, 3.0 * (1 + 1 + 0) / 9);
  EXPECT_DOUBLE_EQ(r.remote_nodes_per_token, 3.0 * (1 + 1 + 2) / 9);
}

}  // namespace
}  // namespace trillion::exchange_test
