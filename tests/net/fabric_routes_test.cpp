// The algebra of routes:
//   a route begins at a's GPU or NIC, ends at b's, and every link begins where the one before it ended
//   no route crosses more network switches, nor with as many of them more links, than the shortest path in the graph of all links
//   latency = NVLink's, if used, + NIC's + (switches - 1) x hop; bandwidth = the narrowest link's
#include "sim/net/fabric.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <queue>

#include "tests/net/support/fabric_shapes.h"

namespace trillion::fabric_routes_test {
namespace {

TEST(FabricRoutes, RoutesThroughOneTwoOrMoreSwitches) {
  const Fabric fabric = Fabric::build(cluster(64));
  EXPECT_EQ(kinds(fabric, fabric.route(5, 5)), "");
  EXPECT_EQ(fabric.latency(5, 5), Seconds{0});
  EXPECT_EQ(kinds(fabric, fabric.route(0, 7)), "nvlink nvlink");
  EXPECT_EQ(fabric.latency(0, 7), Seconds{3e-6});
  EXPECT_EQ(fabric.path_bandwidth(0, 7), BytesPerSecond{400e9});
  EXPECT_EQ(kinds(fabric, fabric.route(0, 8)), "nic nic");
  EXPECT_EQ(fabric.latency(0, 8), Seconds{2e-6});
  EXPECT_EQ(fabric.path_bandwidth(0, 8), BytesPerSecond{50e9});
  EXPECT_EQ(kinds(fabric, fabric.route(3, 8 * 40 + 3)), "nic leaf leaf nic");
  EXPECT_EQ(fabric.latency(3, 8 * 40 + 3), Seconds{3e-6});
  EXPECT_EQ(fabric.route(3, 8 * 40 + 3).network_switches, 3);
}

TEST(FabricRoutes, AnotherRailIsReachedOverNvlinkWhereThatSavesASwitch) {
  const Fabric fabric = Fabric::build(cluster(64));
  const Route route = fabric.route(2, 8 + 6);
  EXPECT_EQ(kinds(fabric, route), "nvlink nvlink nic nic");
  EXPECT_EQ(fabric.link_name(route.links()[1]), "nvswitch of domain 0 -> gpu 6");
  EXPECT_EQ(fabric.link_name(route.links()[2]), "nic 6 -> leaf 6");
  EXPECT_DOUBLE_EQ(fabric.latency(2, 8 + 6).value(), 5e-6);
  // On another leaf the spine is crossed anyway.
  EXPECT_EQ(kinds(fabric, fabric.route(2, 8 * 40 + 6)), "nic leaf leaf nic");
  Cluster rail_only = cluster(64);
  rail_only.scale_out.kind = FabricKind::rail_only;
  const Fabric apart = Fabric::build(rail_only);
  EXPECT_EQ(kinds(apart, apart.route(2, 8 * 40 + 6)), "nvlink nvlink nic leaf leaf nic");
}

TEST(FabricRoutes, TheChoicePicksAmongEqualSpines) {
  const Fabric fabric = Fabric::build(cluster(256));
  std::map<std::uint32_t, int> used;
  for (std::uint64_t choice = 0; choice < 3200; ++choice) {
    const Route route = fabric.route(0, 2040, choice);
    EXPECT_EQ(fabric.route(0, 2040, choice).link_at, route.link_at);
    ++used[route.links()[1]];
  }
  EXPECT_EQ(used.size(), 32u);
  for (const auto& [link, count] : used) EXPECT_NEAR(count, 100, 50) << fabric.link_name(link);
}

// --- every pair of GPUs of small clusters of every shape, against the graph of all links ---

TEST_P(FabricShapes, LinksOfARouteJoin) {
  const Cluster& c = GetParam().cluster;
  const Fabric fabric = Fabric::build(c);
  for (std::int64_t a = 0; a < c.gpus(); ++a) {
    for (std::int64_t b = 0; b < c.gpus(); ++b) {
      if (a != b) expect_joined(c, fabric, a, b);
    }
  }
}

// (switches, links) of the shortest ways from one GPU to all, by exhaustive relaxation. A GPU may hand on only what it got over
// NVLink from the source, as PXN does.
class AllLinks {
 public:
  AllLinks(const Cluster& c, const Fabric& fabric) : cluster_(c) {
    for (std::uint32_t id = 0; id < fabric.link_count(); ++id) {
      const FabricLink link = fabric.link(id);
      next_[link.from].push_back(link.to);
    }
  }

  using Cost = std::pair<int, int>;
  std::map<Point, Cost> from(std::uint32_t gpu) const {
    std::map<Point, Cost> best{{{PointKind::gpu, gpu}, {0, 0}}};
    std::queue<Point> open({{PointKind::gpu, gpu}});
    const auto reach = [&](const Point& to, Cost cost) {
      const auto [it, added] = best.try_emplace(to, cost);
      if (!added && it->second <= cost) return;
      it->second = cost;
      open.push(to);
    };
    for (; !open.empty(); open.pop()) {
      const Point at = open.front();
      const Cost cost = best.at(at);
      const bool came_by_network = cost.first > 0;
      if (at.kind == PointKind::gpu && came_by_network) continue;
      if (at.kind == PointKind::gpu && cluster_.scale_out.nics_per_node > 0 && same_node(at.index, gpu)) {
        reach({PointKind::nic, nic_of(cluster_, at.index)}, cost);
      }
      if (at.kind == PointKind::gpu && at.index != gpu) continue;
      if (const auto it = next_.find(at); it != next_.end()) {
        for (const Point& to : it->second) {
          reach(to, {cost.first + (is_network_switch(to.kind) ? 1 : 0), cost.second + 1});
        }
      }
    }
    return best;
  }

 private:
  bool same_node(std::uint32_t a, std::uint32_t b) const { return a / cluster_.gpus_per_node == b / cluster_.gpus_per_node; }
  const Cluster& cluster_;
  std::map<Point, std::vector<Point>> next_;
};

TEST_P(FabricShapes, RoutesAreTheShortest) {
  const Cluster& c = GetParam().cluster;
  if (c.scale_out.kind == FabricKind::dragonfly) return;  // any cable between two groups does
  const Fabric fabric = Fabric::build(c);
  const AllLinks links(c, fabric);
  for (std::int64_t a = 0; a < c.gpus(); ++a) {
    const auto best = links.from(static_cast<std::uint32_t>(a));
    for (std::int64_t b = 0; b < c.gpus(); ++b) {
      if (a == b) continue;
      const Route route = fabric.route(a, b);
      for (const Route& equal : fabric.equal_routes(a, b)) ASSERT_EQ(equal.count, route.count);
      const bool nvlink = route.network_switches == 0;
      const Point end = nvlink ? Point{PointKind::gpu, static_cast<std::uint32_t>(b)} : Point{PointKind::nic, nic_of(c, b)};
      ASSERT_TRUE(best.count(end)) << a << " -> " << b;
      // Two GPUs on one NIC go by its leaf: the NIC itself does not turn traffic around.
      const AllLinks::Cost shortest = nic_of(c, a) == nic_of(c, b) && !nvlink ? AllLinks::Cost{1, 2} : best.at(end);
      ASSERT_EQ(AllLinks::Cost(static_cast<int>(route.network_switches), static_cast<int>(route.count)), shortest) << a << " -> " << b;
    }
  }
}

TEST_P(FabricShapes, SharesAreTheEqualRoutesOfAdaptiveAndOneOfEcmp) {
  Cluster c = GetParam().cluster;
  for (const PathChoice routing : {PathChoice::adaptive, PathChoice::ecmp}) {
    c.scale_out.routing = routing;
    const Fabric fabric = Fabric::build(c);
    for (std::int64_t b = 1; b < c.gpus(); b += 3) {
      std::map<std::uint32_t, double> wanted, found;
      const std::vector<Route> routes = fabric.equal_routes(0, b);
      for (const Route& route : routes) {
        for (const std::uint32_t link : route.links()) wanted[link] += 1.0 / static_cast<double>(routes.size());
      }
      for (const LinkShare& share : fabric.shares(0, b)) {
        for (std::uint32_t link = share.first; link < share.first + share.count; ++link) found[link] += share.share / share.count;
      }
      if (routing == PathChoice::ecmp) {
        const bool one_of_them = std::any_of(routes.begin(), routes.end(), [&](const Route& route) {
          const auto links = route.links();
          return links.size() == found.size() && std::all_of(links.begin(), links.end(), [&](auto link) { return found.count(link) == 1; });
        });
        ASSERT_TRUE(one_of_them) << "0 -> " << b;
        continue;
      }
      ASSERT_EQ(found.size(), wanted.size()) << "0 -> " << b;
      for (const auto& [link, share] : wanted) ASSERT_NEAR(found[link], share, 1e-12) << fabric.link_name(link);
    }
  }
}

TEST(FabricRoutes, RunsAsWideAsTheNicsBelowThemHoldNobodyBack) {
  Cluster c = cluster(256);
  const auto narrow_runs = [&] {
    const Fabric fabric = Fabric::build(c);
    const std::vector<LinkShare> shares = fabric.shares(0, 2040);
    return std::count_if(shares.begin(), shares.end(), [&](const LinkShare& s) { return s.count > 1 && fabric.can_be_full(s); });
  };
  EXPECT_EQ(narrow_runs(), 0);
  c.scale_out.oversubscription = 3;
  EXPECT_EQ(narrow_runs(), 2);
}

}  // namespace
}  // namespace trillion::fabric_routes_test
