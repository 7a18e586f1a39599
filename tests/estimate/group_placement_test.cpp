// Groups as the report shows them: n GPUs of which g share a node span n / g nodes; all on one node: NVLink, none together: NICs.
#include "sim/estimate/group_placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/linear_machine.h"

namespace trillion::group_placement_test {
namespace {

using namespace testing_support;
using testing::ElementsAre;

std::vector<std::string> lines(const Plan& plan, const Model& model, std::int64_t copies = 1) {
  const DeviceMesh mesh(plan, linear_cluster(16));  // 128 GPUs
  std::vector<std::string> out;
  for (const GroupPlacement& g : group_placements(mesh, gradient_groups(mesh, copies, plan), model)) {
    out.push_back(g.name + ": " + std::to_string(g.size) + " GPUs, " + std::to_string(g.stride) + " apart, " + std::to_string(g.nodes) +
                  " nodes, " + g.links);
  }
  return out;
}

Plan plan() {
  Plan p;
  p.tensor_parallel = 4;
  p.context_parallel = 4;
  p.pipeline_parallel = 2;
  p.expert_parallel = 8;
  return p;
}

TEST(GroupPlacement, ANarrowNetworkShows) {
  // Each rail a tree of two leaves of 8 nodes with 4 uplinks. Pipeline neighbours are 8 nodes apart: all 8 NICs of a leaf cross.
  Cluster cluster = linear_cluster(16);
  cluster.scale_out.kind = FabricKind::rail_only;
  cluster.scale_out.rails = true;
  cluster.scale_out.layers = 2;
  cluster.scale_out.switch_ports = 12;
  cluster.scale_out.oversubscription = 2;
  DeviceMesh mesh(plan(), cluster);
  EXPECT_EQ(mesh.pipeline().nic_share, 1);
  mesh.share_network(cluster);
  for (const GroupPlacement& g : group_placements(mesh, gradient_groups(mesh, 1, plan()), moe_model(2))) {
    EXPECT_DOUBLE_EQ(g.nic_share, g.name == "pipeline" ? 0.5 : 1) << g.name;
  }
}

TEST(GroupPlacement, TheUsualOrderPutsTensorNeighboursOnANode) {
  EXPECT_THAT(
      lines(plan(), moe_model(2)),
      ElementsAre("tensor parallel: 4 GPUs, 1 apart, 1 nodes, NVLink", "context parallel: 4 GPUs, 4 apart, 2 nodes, NVLink and NIC",
                  "expert parallel: 8 GPUs, 1 apart, 1 nodes, NVLink", "pipeline: 2 GPUs, 64 apart, 2 nodes, NIC",
                  "data: gradients, states: 16 GPUs, 4 apart, 8 nodes, NVLink and NIC", "data: experts: 8 GPUs, 8 apart, 8 nodes, NIC"));
}

TEST(GroupPlacement, AnotherOrderMovesThem) {
  Plan p = plan();
  p.rank_order = *rank_order_of_text("dp-ep-cp-tp-pp");
  EXPECT_THAT(lines(p, dense_model(2)),
              ElementsAre("tensor parallel: 4 GPUs, 16 apart, 4 nodes, NIC", "context parallel: 4 GPUs, 4 apart, 2 nodes, NVLink and NIC",
                          "expert parallel: 8 GPUs, 8 apart, 8 nodes, NIC", "pipeline: 2 GPUs, 64 apart, 2 nodes, NIC",
                          "data: gradients, states: 16 GPUs, 1 apart, 2 nodes, NVLink and NIC"));
}

TEST(GroupPlacement, HybridShardingHasShardsAndCopies) {
  Plan p;
  p.sharding_group = 8;
  EXPECT_THAT(lines(p, dense_model(2)), ElementsAre("data: gradients, states: 8 GPUs, 1 apart, 1 nodes, NVLink",
                                                    "data: copies of shards: 16 GPUs, 8 apart, 16 nodes, NIC"));
}

}  // namespace
}  // namespace trillion::group_placement_test
