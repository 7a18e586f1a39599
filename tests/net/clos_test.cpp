// The algebra of a folded Clos (per plane): every leaf has room for its NICs; leaves x uplinks end on spines that have the ports;
// spines x uplinks end on cores that have them; with one spine or core less it would not fit. Known sizes: k^2/2 NICs for two
// layers of k ports, k^3/4 for three, with 3k/2 and 5k^2/4 switches.
#include "sim/net/clos.h"

#include <gtest/gtest.h>

namespace trillion::clos_test {
namespace {

Cluster cluster(std::int64_t nodes, std::int64_t ports, std::int64_t layers) {
  Cluster c;
  c.nodes = nodes;
  c.gpus_per_node = 8;
  c.scale_up.domain_gpus = 8;
  c.scale_out.nics_per_node = 8;
  c.scale_out.switch_ports = ports;
  c.scale_out.layers = layers;
  return c;
}

TEST(Clos, FullTreesHaveTheKnownSizes) {
  for (const std::int64_t k : {16, 32, 64, 128}) {
    const std::int64_t two = k * k / 2 / 8, three = k * k * k / 4 / 8;
    ASSERT_TRUE(size_clos(cluster(two, k, 2)).misfits.empty()) << k << " ports";
    EXPECT_EQ(size_clos(cluster(two, k, 2)).clos.switches(), 3 * k / 2);
    EXPECT_EQ(size_clos(cluster(two + 1, k, 2)).misfits.size(), 1u);
    ASSERT_TRUE(size_clos(cluster(three, k, 3)).misfits.empty()) << k << " ports";
    EXPECT_EQ(size_clos(cluster(three, k, 3)).clos.switches(), 5 * k * k / 4);
    EXPECT_EQ(size_clos(cluster(three + 1, k, 3)).misfits.size(), 1u);
  }
}

TEST(Clos, OversubscriptionSplitsTheLeafsPorts) {
  Cluster c = cluster(48, 64, 2);
  c.scale_out.oversubscription = 3;
  const Clos clos = size_clos(c).clos;
  EXPECT_EQ(clos.nodes_per_leaf, 48);
  EXPECT_EQ(clos.leaves, 8);
  EXPECT_EQ(clos.spines_per_pod * clos.cables_leaf_spine, 16);
}

TEST(Clos, CablesFitThePortsWithTheFewestSwitches) {
  int checked = 0;
  for (const std::int64_t ports : {8, 12, 16, 24, 40, 64}) {
    for (std::int64_t nodes = 1; nodes <= 200; nodes += 3) {
      for (const std::int64_t layers : {2, 3}) {
        const ClosSizing sizing = size_clos(cluster(nodes, ports, layers));
        if (!sizing.misfits.empty() || !sizing.clos.leaves_joined) continue;
        const Clos& clos = sizing.clos;
        const std::int64_t down = layers == 2 ? ports : ports / 2;
        SCOPED_TRACE(std::to_string(nodes) + " nodes, " + std::to_string(ports) + " ports, " + std::to_string(layers) + " layers");
        ASSERT_GE(clos.leaves * clos.nodes_per_leaf, nodes * clos.rails);
        ASSERT_LE(clos.nodes_per_leaf + clos.spines_per_pod * clos.cables_leaf_spine, ports);
        ASSERT_LE(clos.leaves_per_pod * clos.cables_leaf_spine, down);
        for (std::int64_t fewer = 1; fewer < clos.spines_per_pod; ++fewer) {
          const std::int64_t uplinks = clos.spines_per_pod * clos.cables_leaf_spine;
          ASSERT_TRUE(uplinks % fewer != 0 || clos.leaves_per_pod * (uplinks / fewer) > down) << fewer << " spines would do";
        }
        ASSERT_GE(clos.pods * clos.leaves_per_pod, clos.leaves);
        if (clos.pods > 1) {
          ASSERT_EQ(clos.cores_per_spine * clos.cables_spine_core, ports / 2);
          ASSERT_LE(clos.pods * clos.cables_spine_core, ports);
        }
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 100);
}

}  // namespace
}  // namespace trillion::clos_test
