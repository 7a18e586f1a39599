// The algebra of a dragonfly: p NICs, a - 1 local and at most h global cables fit the router's ports; cables between groups pair up
// (gateway(x, y, c) and gateway(y, x, c) are the two ends of one cable) and no router has more than h. Known size: k = 64 gives 16 NICs,
// 16 global cables, groups of 32 routers, at most 513 of them (Kim et al. 2008; Zhao et al. 2025, table 3, has 261 632 NICs and
// 16 352 switches, two groups less).
#include "sim/net/dragonfly.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/net/support/clusters.h"

namespace trillion::dragonfly_test {
namespace {

TEST(Dragonfly, SixtyFourPortsAreTheTextbooks) {
  Cluster c = dragonfly_cluster(130816);
  c.scale_out.switch_ports = 64;
  const DragonflySizing sizing = size_dragonfly(c);
  EXPECT_THAT(sizing.misfits, testing::IsEmpty());
  EXPECT_EQ(sizing.dragonfly.nics_per_router, 16);
  EXPECT_EQ(sizing.dragonfly.routers_per_group, 32);
  EXPECT_EQ(sizing.dragonfly.routers(), 16352);
  EXPECT_EQ(sizing.dragonfly.groups, 511);
  c.nodes = 513 * 512 / 2 + 1;
  EXPECT_THAT(size_dragonfly(c).misfits,
              testing::ElementsAre(testing::HasSubstr("has 513 groups for 131328 nodes, the cluster has 131329")));
}

TEST(Dragonfly, CablesPairUpAndFitThePorts) {
  for (const std::int64_t nodes : {1, 3, 4, 5, 8, 12, 16, 20, 36}) {
    const Dragonfly d = size_dragonfly(dragonfly_cluster(nodes)).dragonfly;
    SCOPED_TRACE(std::to_string(nodes) + " nodes");
    ASSERT_GE(d.routers() * d.nics_per_router, 2 * nodes);
    ASSERT_LE(d.nics_per_router + d.routers_per_group - 1 + d.global_per_router, 8);
    std::map<std::int64_t, std::int64_t> cables;  // by router
    for (std::int64_t x = 0; x < d.groups; ++x) {
      for (std::int64_t y = 0; y < d.groups; ++y) {
        if (x == y) continue;
        ASSERT_GE(d.global_per_pair, 1);
        for (std::int64_t k = 0; k < d.global_per_pair; ++k) {
          const std::int64_t router = d.gateway(x, y, k);
          ASSERT_EQ(d.group_of(router), x);
          ++cables[router];
        }
      }
    }
    for (const auto& [router, count] : cables) ASSERT_LE(count, d.global_per_router);
  }
}

TEST(Dragonfly, OneGroupIsAsLargeAsItNeedsToBe) {
  const Dragonfly d = size_dragonfly(dragonfly_cluster(3)).dragonfly;
  EXPECT_EQ(d.groups, 1);
  EXPECT_EQ(d.routers_per_group, 3);
  EXPECT_EQ(d.global_per_pair, 0);
}

}  // namespace
}  // namespace trillion::dragonfly_test
