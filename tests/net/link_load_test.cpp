// The algebra of loads:
//   a transfer puts its bytes on every layer that it crosses, once up and once down; spread evenly or on one link by a hash
//   adaptive trees of full bisection leave every NIC its rate; a layer of r:1 that all traffic crosses leaves 1/r
//   no schedule is faster than the busiest link
#include "sim/net/link_load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/net/support/clusters.h"

namespace trillion::link_load_test {
namespace {

double total(const LinkLoad& load, const Fabric& fabric, LinkKind kind) {
  double sum = 0;
  for (std::uint32_t id = 0; id < fabric.link_count(); ++id) {
    if (fabric.link(id).kind == kind) sum += load.on(id).value();
  }
  return sum;
}

TEST(LinkLoad, EveryLayerCarriesTheBytesOnceUpAndOnceDown) {
  for (const PathChoice routing : {PathChoice::adaptive, PathChoice::ecmp}) {
    Cluster c = small_cluster(31);
    c.scale_out.layers = 3;
    c.scale_out.routing = routing;
    const Fabric fabric = Fabric::build(c);
    LinkLoad load(fabric);
    const std::int64_t far = c.gpus() - 4;  // same rail, another pod
    ASSERT_EQ(fabric.route(0, far).network_switches, 5);
    load.add(0, far, Bytes{64});
    EXPECT_DOUBLE_EQ(total(load, fabric, LinkKind::nvlink), 0);
    EXPECT_DOUBLE_EQ(total(load, fabric, LinkKind::nic), 128);
    EXPECT_DOUBLE_EQ(total(load, fabric, LinkKind::leaf), 128);
    EXPECT_DOUBLE_EQ(total(load, fabric, LinkKind::spine), 128);
  }
}

TEST(LinkLoad, EcmpCollidesWhereAdaptiveSpreads) {
  // Four NICs of one leaf to four of another: four uplinks. A hash leaves some idle and loads others twice or more.
  Cluster c = small_cluster(8);
  const auto busiest = [&](PathChoice routing, std::uint64_t seed) {
    c.scale_out.routing = routing;
    c.scale_out.routing_seed = seed;
    const Fabric fabric = Fabric::build(c);
    LinkLoad load(fabric);
    for (std::int64_t node = 0; node < 4; ++node) load.add(4 * node, 4 * (node + 4), Bytes{50e9});
    return load.busiest();
  };
  EXPECT_DOUBLE_EQ(busiest(PathChoice::adaptive, 1).time.value(), 1);
  double sum = 0, worst = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const double time = busiest(PathChoice::ecmp, seed).time.value();
    EXPECT_EQ(time, busiest(PathChoice::ecmp, seed).time.value()) << "the same seed, the same collisions";
    sum += time;
    worst = std::max(worst, time);
  }
  EXPECT_EQ(worst, 4) << "all four on one uplink once in 64 times";
  // Four balls in four bins: the fullest holds 1, 2, 3, 4 with probability 24, 180, 48, 4 of 256, on average 2.125.
  ASSERT_EQ(Fabric::build(c).clos().spines_per_pod, 4);
  EXPECT_NEAR(sum / 400, 2.125, 0.1);
}

TEST(NicShare, FullBisectionLeavesEveryNicItsRate) {
  Cluster c = small_cluster(32);
  c.scale_out.layers = 3;
  const Fabric fabric = Fabric::build(c);
  for (const RegularGroups& groups :
       {RegularGroups{8, 16, 1}, RegularGroups{128, 1, 4}, RegularGroups{32, 1, 4}, RegularGroups{4, 32, 1}}) {
    EXPECT_EQ(nic_share(fabric, groups, TrafficPattern::neighbours), 1);
    EXPECT_NEAR(nic_share(fabric, groups, TrafficPattern::everyone), 1, 1e-12);
  }
}

TEST(NicShare, AnOversubscribedLayerThatAllTrafficCrossesTakesItsFactor) {
  Cluster c = small_cluster(12);
  c.scale_out.oversubscription = 3;  // 8 ports: 6 down, 2 up
  const Fabric fabric = Fabric::build(c);
  ASSERT_EQ(fabric.clos().nodes_per_leaf, 6);
  EXPECT_DOUBLE_EQ(nic_share(fabric, {2, 24, 1}, TrafficPattern::neighbours), 1.0 / 3) << "each GPU's partner is on the other leaf";
  EXPECT_DOUBLE_EQ(nic_share(fabric, {2, 4, 1}, TrafficPattern::neighbours), 1) << "neighbours share a leaf";
  // All to all of 12 nodes: 6 of 11 peers are on the other leaf, and a third of them fits.
  EXPECT_DOUBLE_EQ(nic_share(fabric, {48, 1, 4}, TrafficPattern::everyone), 11.0 / 18);
}

TEST(NicShare, ACoreLayerOfSevenToOne) {
  // 14 ports: a leaf takes the 4 NICs of one node, a pod has 7 leaves and 7 spines, of whose 7 upper ports one is used.
  Cluster c = small_cluster(14);
  c.scale_out.layers = 3;
  c.scale_out.switch_ports = 14;
  c.scale_out.rails = false;
  c.scale_out.core_oversubscription = 7;
  const Fabric fabric = Fabric::build(c);
  ASSERT_EQ(fabric.clos().pods, 2);
  ASSERT_EQ(fabric.links_of(LinkKind::spine).count, 2u * 2 * 7);
  // Every node of one pod with one of the other: 28 NICs over 7 cables.
  EXPECT_DOUBLE_EQ(nic_share(fabric, {2, 28, 1}, TrafficPattern::neighbours), 0.25);
  EXPECT_EQ(nic_share(fabric, {2, 4, 1}, TrafficPattern::neighbours), 1) << "pairs of neighbouring nodes, one pair of them across";
  c.scale_out.core_oversubscription = 1;
  EXPECT_EQ(nic_share(Fabric::build(c), {2, 28, 1}, TrafficPattern::neighbours), 1);
}

TEST(NicShare, ABrokenUplinkSlowsItsLeafByItsPart) {
  Cluster c = small_cluster(8);
  c.scale_out.failures = {*parse_failure("leaf 0 - spine 1")};
  const Fabric fabric = Fabric::build(c);
  // Four NICs of the leaf share three uplinks.
  EXPECT_DOUBLE_EQ(nic_share(fabric, {2, 16, 1}, TrafficPattern::neighbours), 0.75);
}

TEST(NicShare, DetoursWithinADragonflysGroup) {
  // Four routers with the two NICs of a node each; every node sends to the next: 2 NICs over the one cable between their routers.
  Cluster c = dragonfly_cluster(4);
  ASSERT_EQ(Fabric::build(c).dragonfly().groups, 1);
  const auto share = [&](PathChoice routing) {
    c.scale_out.routing = routing;
    return nic_share(Fabric::build(c), {4, 2, 1}, TrafficPattern::neighbours);
  };
  EXPECT_DOUBLE_EQ(share(PathChoice::ecmp), 0.5);
  // A third goes straight, a third by each of the other two. The cable two routers on carries 2/3 of a NIC from its own router as a first
  // hop and 2/3 as another's second: 4/3.
  EXPECT_DOUBLE_EQ(share(PathChoice::adaptive), 0.75);
}

// DeepSeek-V3's experts on the textbook's dragonfly: two nodes a router, eight nodes a group of experts, so its GPUs sit on 4 of the 32
// routers of a group. By minimal routes what a router's 16 NICs send to another's two nodes, 2/7 of it, has one cable.
TEST(NicShare, ExpertsOnFourRoutersOfADragonflyShareTheirCables) {
  Cluster c;
  c.nodes = 256;
  c.gpus_per_node = 8;
  c.scale_up = {8, BytesPerSecond{160e9}, Seconds{3e-6}, {}};
  c.scale_out.nics_per_node = 8;
  c.scale_out.nic_bandwidth = BytesPerSecond{50e9};
  c.scale_out.switch_ports = 64;
  c.scale_out.kind = FabricKind::dragonfly;
  c.scale_out.rails = false;
  c.scale_out.layers = 1;
  c.scale_out.routing = PathChoice::ecmp;
  EXPECT_DOUBLE_EQ(nic_share(Fabric::build(c), {64, 1, 8}, TrafficPattern::everyone), 7.0 / 32);
  // Detours: all 31 ways are used alike, and all groups of experts use each other's.
  c.scale_out.routing = PathChoice::adaptive;
  EXPECT_GT(nic_share(Fabric::build(c), {64, 1, 8}, TrafficPattern::everyone), 0.9);
}

TEST(NicShare, ADragonflysGlobalCablesAreFewForTrafficBetweenTwoGroups) {
  Cluster c = dragonfly_cluster(36);
  const Fabric fabric = Fabric::build(c);  // 72 NICs, 9 groups of 8, one cable between any two
  ASSERT_EQ(fabric.dragonfly().groups, 9);
  ASSERT_EQ(fabric.dragonfly().global_per_pair, 1);
  EXPECT_DOUBLE_EQ(nic_share(fabric, {9, 8, 1}, TrafficPattern::neighbours), 1.0 / 8) << "8 NICs to the next group over one cable";
  EXPECT_GT(nic_share(fabric, {9, 8, 1}, TrafficPattern::everyone), 0.4) << "spread over all groups, what dragonflies are made for";
}

}  // namespace
}  // namespace trillion::link_load_test
