// A detour is the shortest way that failures leave: fewest switches, then fewest hops over NVLink. Its links are whole, join, and
// begin and end at the leaves of the NICs that it names.
#include "sim/net/switch_graph.h"

#include <gtest/gtest.h>

#include "sim/net/fabric.h"
#include "tests/net/support/clusters.h"

namespace trillion::switch_graph_test {
namespace {

Fabric broken(Cluster c, const std::vector<std::string>& failures) {
  for (const std::string& text : failures) c.scale_out.failures.push_back(*parse_failure(text));
  return Fabric::build(c);
}

TEST(SwitchGraph, OwnNicsAndOneLeafNeedNoLink) {
  const Fabric fabric = broken(small_cluster(8), {"spine 0"});
  const Detour way = SwitchGraph(fabric).detour(fabric, 0, 4, 1);
  EXPECT_EQ(way.sender, 0);
  EXPECT_EQ(way.receiver, 4);
  EXPECT_TRUE(way.links.empty());
}

TEST(SwitchGraph, TheWayAroundABrokenLeafLeavesByAnotherRail) {
  const Fabric fabric = broken(small_cluster(8), {"leaf 0"});  // rail 0 of nodes 0 to 3
  const Detour way = SwitchGraph(fabric).detour(fabric, 0, 4, 1);
  EXPECT_EQ(way.sender % 4, way.receiver % 4) << "along a rail: one switch";
  EXPECT_NE(way.sender % 4, 0);
  EXPECT_TRUE(way.links.empty());
  // To the other block of nodes, whose rail 0 is whole: from another rail over a spine, arriving where it should.
  const Detour far = SwitchGraph(fabric).detour(fabric, 0, 16, 1);
  EXPECT_EQ(far.receiver, 16);
  ASSERT_EQ(far.links.size(), 2u);
  EXPECT_EQ(fabric.link(far.links[0]).to, fabric.link(far.links[1]).from);
}

TEST(SwitchGraph, AGroupThatLostItsCablesToAnotherGoesByAThird) {
  // Nine groups with one cable between any two; that of groups 0 and 1 breaks.
  const Cluster c = dragonfly_cluster(36);
  const Fabric whole = Fabric::build(c);
  const std::int64_t there = whole.dragonfly().gateway(0, 1, 0), back = whole.dragonfly().gateway(1, 0, 0);
  const Fabric fabric = broken(c, {"router " + std::to_string(there) + " - router " + std::to_string(back)});
  const Route route = fabric.route(0, 8);
  int global = 0;
  for (const std::uint32_t link : route.links()) global += fabric.link(link).kind == LinkKind::global ? 1 : 0;
  EXPECT_EQ(global, 2);
  EXPECT_GE(route.network_switches, whole.route(0, 8).network_switches);
}

}  // namespace
}  // namespace trillion::switch_graph_test
