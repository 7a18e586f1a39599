// What a cluster becomes: sizes, misfits, what failures cut off.
#include "sim/net/fabric.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "sim/base/error.h"
#include "tests/net/support/fabric_shapes.h"

namespace trillion::fabric_test {
namespace {

TEST(Fabric, DeepSeeksTreeIsTheOneOfTheirTable) {
  const Fabric fabric = Fabric::build(cluster(256));
  EXPECT_EQ(fabric.clos().leaves, 64);
  EXPECT_EQ(fabric.clos().spines_per_pod, 32);
  EXPECT_EQ(fabric.clos().switches(), 96);
  EXPECT_EQ(fabric.links_of(LinkKind::nvlink).count, 2u * 2048);
  EXPECT_EQ(fabric.links_of(LinkKind::nic).count, 2u * 2048);
  EXPECT_EQ(fabric.links_of(LinkKind::leaf).count, 2u * 2048);
  EXPECT_EQ(fabric.links_of(LinkKind::spine).count, 0u);
  EXPECT_EQ(fabric.links_of(LinkKind::leaf).capacity, BytesPerSecond{50e9});
}

TEST(Fabric, AThreeLayerTreeOf64PortsHolds65536Nics) {
  Cluster c = cluster(8192);
  c.scale_out.layers = 3;
  const Fabric fabric = Fabric::build(c);
  EXPECT_EQ(fabric.clos().switches(), 5120);  // 5 k^2 / 4
  EXPECT_EQ(fabric.links_of(LinkKind::spine).count, 2u * 65536);
  c.nodes = 8193;
  EXPECT_THAT(Fabric::misfits(c), testing::ElementsAre(testing::HasSubstr("holds 8192 nodes, the cluster has 8193")));
}

TEST(Fabric, MultiPlaneTreesAreRailOnly) {
  Cluster c = cluster(2048);  // 8 planes of 2048 NICs each: 768 switches
  c.scale_out.kind = FabricKind::rail_only;
  EXPECT_EQ(Fabric::build(c).clos().switches(), 768);
  c.nodes = 2049;
  EXPECT_THAT(Fabric::misfits(c), testing::ElementsAre(testing::HasSubstr("holds 2048 nodes, the cluster has 2049")));
  // A plane per rail by its other name.
  c.nodes = 64;
  const Fabric rail_only = Fabric::build(c);
  c.scale_out.kind = FabricKind::multi_plane;
  c.scale_out.planes = 8;
  const Fabric planes = Fabric::build(c);
  ASSERT_EQ(planes.link_count(), rail_only.link_count());
  for (std::uint32_t id = 0; id < planes.link_count(); ++id) ASSERT_EQ(planes.link_name(id), rail_only.link_name(id));
}

TEST(Fabric, PlanesOfSeveralRailsKeepRailsApartOnlyBetweenPlanes) {
  Cluster c = cluster(64);
  c.scale_out.kind = FabricKind::multi_plane;
  c.scale_out.planes = 2;  // rails 0, 2, 4, 6 and 1, 3, 5, 7
  const Fabric fabric = Fabric::build(c);
  EXPECT_EQ(kinds(fabric, fabric.route(0, 8 * 40 + 2)), "nic leaf leaf nic");
  EXPECT_EQ(kinds(fabric, fabric.route(0, 8 * 40 + 1)), "nvlink nvlink nic leaf leaf nic");
}

TEST(Fabric, ARackOfNvlinkNeedsNoNetworkWithin) {
  // Two NVL72 racks: 18 trays of 4 GPUs each.
  Cluster c = cluster(36, 4);
  c.scale_up.domain_gpus = 72;
  const Fabric fabric = Fabric::build(c);
  EXPECT_EQ(kinds(fabric, fabric.route(0, 71)), "nvlink nvlink");
  EXPECT_EQ(kinds(fabric, fabric.route(71, 72)), "nvlink nvlink nic nic") << "to the GPU of its tray on the other's rail first";
  EXPECT_EQ(kinds(fabric, fabric.route(0, 72)), "nic nic") << "32 trays share a leaf";
  EXPECT_EQ(kinds(fabric, fabric.route(0, 140)), "nic leaf leaf nic");
}

TEST(Fabric, MisfitsAreSaidNotThrown) {
  EXPECT_THAT(Fabric::misfits(cluster(256)), testing::IsEmpty());
  EXPECT_THAT(Fabric::misfits(cluster(257)), testing::ElementsAre(testing::HasSubstr("holds 256 nodes, the cluster has 257")));
  EXPECT_THROW(Fabric::build(cluster(257)), InputError);
  Cluster one_layer = cluster(65);
  one_layer.scale_out.layers = 1;
  EXPECT_THAT(Fabric::misfits(one_layer), testing::ElementsAre(testing::HasSubstr("holds 64 nodes, the cluster has 65")));
  Cluster small_pods = cluster(64);
  small_pods.scale_out.layers = 3;
  small_pods.scale_out.switch_ports = 14;
  EXPECT_THAT(Fabric::misfits(small_pods), testing::ElementsAre(testing::HasSubstr("a pod of 7 leaves cannot hold the leaves of 8 rails")));
  Cluster no_nics = cluster(2);
  no_nics.scale_out.nics_per_node = 0;
  EXPECT_THAT(Fabric::misfits(no_nics), testing::ElementsAre(testing::HasSubstr("nics_per_node is 0")));
  Cluster narrow = cluster(2);
  narrow.scale_out.rails = false;
  narrow.scale_out.switch_ports = 8;
  EXPECT_THAT(Fabric::misfits(narrow), testing::ElementsAre(testing::HasSubstr("a leaf switch has 4 ports down, but one node needs 8")));
  Cluster torn = cluster(4);
  torn.scale_up.domain_gpus = 4;
  torn.scale_out.kind = FabricKind::rail_only;
  EXPECT_THAT(Fabric::misfits(torn), testing::ElementsAre(testing::HasSubstr("rails are joined neither by switches nor by NVLink")));
}

TEST(Fabric, OneNodeNeedsNoNetwork) {
  Cluster c = cluster(1);
  c.scale_out = {};
  const Fabric fabric = Fabric::build(c);
  EXPECT_EQ(fabric.link_count(), 16u);
  EXPECT_EQ(kinds(fabric, fabric.route(0, 7)), "nvlink nvlink");
}

INSTANTIATE_TEST_SUITE_P(All, FabricShapes, testing::ValuesIn(shapes()), shape_name);

Cluster with_failures(Cluster c, const std::vector<std::string>& failures) {
  for (const std::string& text : failures) c.scale_out.failures.push_back(*parse_failure(text));
  return c;
}

TEST(FabricFailures, TrafficLeavesOutABrokenSpine) {
  const Fabric fabric = Fabric::build(with_failures(cluster(256), {"spine 7", "leaf 0 - spine 8"}));
  for (std::uint64_t choice = 0; choice < 500; ++choice) {
    const Route route = fabric.route(0, 2040, choice);
    EXPECT_EQ(kinds(fabric, route), "nic leaf leaf nic");
    for (const std::uint32_t link : route.links()) EXPECT_FALSE(fabric.broken(link)) << fabric.link_name(link);
  }
  EXPECT_EQ(fabric.equal_routes(0, 2040).size(), 30u) << "two of 32 spines";
  EXPECT_EQ(fabric.equal_routes(1, 2041).size(), 31u) << "the cable was another leaf's";
}

TEST(FabricFailures, ABrokenNicLeavesByItsNeighboursAndArrivesByThem) {
  const Fabric fabric = Fabric::build(with_failures(cluster(64), {"nic 2"}));
  const Route out = fabric.route(2, 8 + 2);
  // Rail 2 of the own node is gone: by any other NIC to its leaf, over a spine to rail 2 of the destination, or to the destination's
  // NIC on the same rail and over NVLink there. The latter crosses one switch.
  EXPECT_EQ(kinds(fabric, out), "nvlink nvlink nic nic nvlink nvlink");
  EXPECT_EQ(out.network_switches, 1);
  EXPECT_DOUBLE_EQ(out.latency.value(), 3e-6 + 2e-6 + 3e-6);
  const Route in = fabric.route(8 + 2, 2);
  EXPECT_EQ(kinds(fabric, in), "nvlink nvlink nic nic nvlink nvlink");
  EXPECT_EQ(kinds(fabric, fabric.route(3, 8 + 3)), "nic nic");
}

TEST(FabricFailures, WhoIsCutOffIsSaid) {
  Cluster c = cluster(8, 4);
  c.scale_out.switch_ports = 16;
  c.scale_out.rails = false;  // one leaf for the NICs of two nodes
  EXPECT_THAT(Fabric::misfits(c), testing::IsEmpty());
  EXPECT_THAT(Fabric::misfits(with_failures(c, {"leaf 1"})),
              testing::ElementsAre("failures cut off nodes 2 to 3 (8 of 32 GPUs) from the rest of the network"));
  EXPECT_THROW(Fabric::build(with_failures(c, {"leaf 1"})), InputError);
  EXPECT_THAT(Fabric::misfits(with_failures(c, {"nic 4", "nic 5", "nic 6"})), testing::IsEmpty()) << "one NIC is left to the node";
  EXPECT_THAT(Fabric::misfits(with_failures(c, {"nic 4", "nic 5", "nic 6", "nic 7"})),
              testing::ElementsAre("failures cut off node 1 (4 of 32 GPUs) from the rest of the network"));
  // With rails a leaf takes one NIC of each node only.
  EXPECT_THAT(Fabric::misfits(with_failures(cluster(64), {"leaf 1"})), testing::IsEmpty());
}

TEST(FabricFailures, WhatIsNotThereCannotFail) {
  const auto says = [](const std::string& failure) -> std::string {
    try {
      Fabric::misfits(with_failures(cluster(256), {failure}));
    } catch (const InputError& error) {
      return error.diagnostics().front().message;
    }
    return "nothing";
  };
  EXPECT_EQ(says("spine 99"), "'failures': there is no spine 99; they are numbered 0 to 31");
  EXPECT_EQ(says("core 0"), "'failures': this network has no core, so none is broken by 'core 0'");
  EXPECT_EQ(says("leaf 0 - leaf 1"), "'failures': 'leaf 0 - leaf 1': no cable lies between the two");
  EXPECT_EQ(says("spine 31"), "nothing");
}

std::string part_text(const Point& point) {
  constexpr std::array kNames = {"gpu", "nvswitch", "nic", "leaf", "spine", "core", "router"};
  return kNames[static_cast<std::size_t>(point.kind)] + std::string(" ") + std::to_string(point.index);
}

// Breaks links at random; whatever stays connected is still reached, over whole links that join.
TEST_P(FabricShapes, PropertyRoutesSurviveFailures) {
  Cluster c = GetParam().cluster;
  const Fabric whole = Fabric::build(c);
  if (whole.links_of(LinkKind::nic).count == 0) return;
  int connected = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    c.scale_out.failures.clear();
    for (std::uint64_t k = 0; k < seed; ++k) {
      const std::uint32_t first = whole.links_of(LinkKind::nvlink).count;
      const FabricLink link = whole.link(first + static_cast<std::uint32_t>(random() % (whole.link_count() - first)));
      c.scale_out.failures.push_back(*parse_failure(part_text(link.from) + " - " + part_text(link.to)));
    }
    if (!Fabric::misfits(c).empty()) continue;
    ++connected;
    const Fabric fabric = Fabric::build(c);
    for (std::int64_t a = 0; a < c.gpus(); a += 5) {
      for (std::int64_t b = 0; b < c.gpus(); b += 2) {
        if (a == b) continue;
        expect_joined(c, fabric, a, b);
        for (const LinkShare& share : fabric.shares(a, b)) ASSERT_FALSE(fabric.broken(share.first));
      }
    }
  }
  EXPECT_GT(connected, 0);
}

}  // namespace
}  // namespace trillion::fabric_test
