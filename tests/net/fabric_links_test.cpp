// Numbers and ends of links:
//   no switch uses more ports than it has; with oversubscription 1 what enters a layer from below can leave it above
#include "sim/net/fabric.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/net/support/fabric_shapes.h"

namespace trillion::fabric_links_test {
namespace {

TEST_P(FabricShapes, SwitchesHaveThePorts) {
  const Cluster& c = GetParam().cluster;
  const Fabric fabric = Fabric::build(c);
  std::map<Point, double> down, up;  // cables
  for (std::uint32_t id = 0; id < fabric.link_count(); ++id) {
    const FabricLink link = fabric.link(id);
    if (link.kind == LinkKind::nvlink || link.from.kind > link.to.kind) continue;  // each cable once
    const double cables = link.capacity / c.scale_out.nic_bandwidth;
    ASSERT_EQ(cables, std::floor(cables));
    up[link.from] += cables;
    down[link.to] += cables;
  }
  for (const auto& [point, cables] : down) {
    if (point.kind == PointKind::router) continue;  // dragonfly_test counts these
    ASSERT_LE(cables + up[point], static_cast<double>(c.scale_out.switch_ports)) << "point " << point.index;
    if (point.kind == PointKind::leaf && up[point] > 0) {
      ASSERT_LE(cables, up[point] * c.scale_out.oversubscription) << "leaf " << point.index;
    }
  }
}

TEST(FabricLinks, KindsCountTheirLinksInBothDirections) {
  const Fabric fabric = Fabric::build(cluster(256));
  std::map<LinkKind, std::uint32_t> counted;
  for (std::uint32_t id = 0; id < fabric.link_count(); ++id) ++counted[fabric.link(id).kind];
  for (const auto& [kind, count] : counted) EXPECT_EQ(fabric.links_of(kind).count, count);
  EXPECT_EQ(fabric.link_name(fabric.nic_link(17, true)), "nic 17 -> leaf 1");
  EXPECT_EQ(fabric.link_name(fabric.nic_link(17, false)), "leaf 1 -> nic 17");
  EXPECT_EQ(fabric.own_nic_rate(), BytesPerSecond{50e9});
}

}  // namespace
}  // namespace trillion::fabric_links_test
