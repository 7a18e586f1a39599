// Groups tile the cluster; on a network as wide as its NICs they do not feel each other, on a narrow one all together are slower.
#include "sim/net/flows_on_cluster.h"

#include <gtest/gtest.h>

#include "tests/net/support/clusters.h"

namespace trillion::flows_on_cluster_test {
namespace {

FlowTimes times(const Collective& c, CollectiveAlgorithm algorithm, const Cluster& cluster) {
  return std::get<FlowTimes>(flow_times(c, algorithm, cluster, Fabric::build(cluster)));
}
std::string why_not(const Collective& c, const Cluster& cluster) {
  return std::get<std::string>(flow_times(c, CollectiveAlgorithm::ring, cluster, Fabric::build(cluster)));
}

const Collective kGather{CollectiveKind::all_gather, Bytes{1.6e9}, 8, 1, {}};

TEST(FlowsOnCluster, GroupsOnAWideNetworkDoNotFeelEachOther) {
  const Cluster wide = small_cluster(8);  // of 4 GPUs with a NIC each
  const FlowTimes t = times(kGather, CollectiveAlgorithm::ring, wide);
  EXPECT_EQ(t.groups, 4);
  EXPECT_NEAR(t.beside_others / t.alone, 1, 1e-9);
  EXPECT_EQ(times({CollectiveKind::all_reduce, Bytes{1e9}, 4, 4, {}}, CollectiveAlgorithm::ring, wide).groups, 8);
  EXPECT_EQ(times({CollectiveKind::all_to_all, Bytes{1e9}, 8, 2, {}}, CollectiveAlgorithm::pairwise, wide).groups, 4);
}

TEST(FlowsOnCluster, OnANarrowNetworkTheyShareIt) {
  Cluster narrow = small_cluster(12);
  narrow.scale_out.oversubscription = 3;
  const Collective pairs{CollectiveKind::all_gather, Bytes{1.6e9}, 12, 1, {}};
  const FlowTimes t = times(pairs, CollectiveAlgorithm::ring, narrow);
  EXPECT_GE(t.beside_others, t.alone);
  Cluster wide = small_cluster(12);
  wide.scale_out.layers = 3;
  const Collective all{CollectiveKind::all_to_all, Bytes{1.6e9}, 48, 4, {}};
  EXPECT_GT(times(all, CollectiveAlgorithm::pairwise, narrow).alone, 1.5 * times(all, CollectiveAlgorithm::pairwise, wide).alone);
}

TEST(FlowsOnCluster, SaysWhyThereAreNone) {
  const Cluster c = small_cluster(8);
  EXPECT_EQ(why_not({CollectiveKind::send_recv, Bytes{1e6}, 2, 1, {}}, c), "no flows of this kind");
  EXPECT_EQ(why_not({CollectiveKind::all_gather, Bytes{1e6}, 6, 4, {}}, c), "6 ranks are not whole nodes of 4");
  EXPECT_EQ(why_not({CollectiveKind::all_gather, Bytes{1e6}, 8, 8, {}}, c), "8 ranks a node, where NVLink joins 4 GPUs");
  EXPECT_EQ(why_not({CollectiveKind::all_gather, Bytes{1e6}, 64, 4, {}}, c), "16 nodes of ranks, where the cluster has 8");
}

}  // namespace
}  // namespace trillion::flows_on_cluster_test
