// The algebra of a fabric:
//   a route begins at a's GPU or NIC, ends at b's, and every link begins where the one before it ended
//   no route crosses more network switches, nor with as many of them more links, than the shortest path in the graph of all links
//   latency = NVLink's, if used, + NIC's + (switches - 1) x hop; bandwidth = the narrowest link's
//   no switch uses more ports than it has; with oversubscription 1 what enters a layer from below can leave it above
#include "sim/net/fabric.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <ostream>
#include <queue>
#include <random>

#include "sim/base/error.h"

namespace trillion {
namespace {

Cluster cluster(std::int64_t nodes, std::int64_t gpus_per_node = 8) {
  Cluster c;
  c.name = "test";
  c.nodes = nodes;
  c.gpus_per_node = gpus_per_node;
  c.scale_up = {gpus_per_node, BytesPerSecond{400e9}, Seconds{3e-6}, {}};
  c.scale_out.nics_per_node = gpus_per_node;
  c.scale_out.nic_bandwidth = BytesPerSecond{50e9};
  c.scale_out.nic_latency = Seconds{2e-6};
  c.scale_out.hop_latency = Seconds{0.5e-6};
  return c;
}

std::string kinds(const Fabric& fabric, const Route& route) {
  std::string out;
  for (const std::uint32_t link : route.links()) {
    out += (out.empty() ? "" : " ") + std::string(kLinkKindNames[static_cast<std::size_t>(fabric.link(link).kind)]);
  }
  return out;
}

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

TEST(Fabric, RoutesThroughOneTwoOrMoreSwitches) {
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

TEST(Fabric, AnotherRailIsReachedOverNvlinkWhereThatSavesASwitch) {
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

TEST(Fabric, TheChoicePicksAmongEqualSpines) {
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

// --- every pair of GPUs of small clusters of every shape, against the graph of all links ---

struct Shape {
  std::string name;
  Cluster cluster;
  friend std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.name; }
};

std::vector<Shape> shapes() {
  std::vector<Shape> out;
  const auto add = [&](const std::string& name, std::int64_t nodes, auto change) {
    Cluster c = cluster(nodes, 4);
    c.scale_out.switch_ports = 8;
    change(c);
    out.push_back({name, c});
  };
  add("two layers, full", 8, [](Cluster&) {});
  add("two layers, ragged", 7, [](Cluster&) {});
  add("one leaf per rail", 3, [](Cluster&) {});
  add("one layer", 8, [](Cluster& c) { c.scale_out.layers = 1; });
  add("one layer, no rails", 2, [](Cluster& c) { c.scale_out.layers = 1, c.scale_out.rails = false; });
  add("no rails", 7, [](Cluster& c) { c.scale_out.rails = false; });
  add("rail only", 30, [](Cluster& c) { c.scale_out.kind = FabricKind::rail_only; });
  add("three layers", 31, [](Cluster& c) { c.scale_out.layers = 3; });
  add("three layers, odd ports", 40, [](Cluster& c) { c.scale_out.layers = 3, c.scale_out.switch_ports = 13; });
  add("three layers, no rails", 29, [](Cluster& c) { c.scale_out.layers = 3, c.scale_out.rails = false; });
  add("three layers, rail only", 40, [](Cluster& c) { c.scale_out.layers = 3, c.scale_out.kind = FabricKind::rail_only; });
  add("oversubscribed", 9, [](Cluster& c) { c.scale_out.oversubscription = 3, c.scale_out.switch_ports = 16; });
  add("two GPUs per NIC", 9, [](Cluster& c) { c.scale_out.nics_per_node = 2; });
  add("two NICs per GPU", 7, [](Cluster& c) { c.scale_out.nics_per_node = 8, c.scale_out.switch_ports = 16; });
  add("domains of three nodes", 6, [](Cluster& c) { c.scale_up.domain_gpus = 12; });
  add("domains of half a node", 6, [](Cluster& c) { c.scale_up.domain_gpus = 2; });
  add("no NVLink", 6, [](Cluster& c) { c.scale_up.domain_gpus = 1; });
  add("two planes of two rails", 12, [](Cluster& c) { c.scale_out.kind = FabricKind::multi_plane, c.scale_out.planes = 2; });
  add("four planes, three layers", 40,
      [](Cluster& c) { c.scale_out.kind = FabricKind::multi_plane, c.scale_out.planes = 4, c.scale_out.layers = 3; });
  add("oversubscribed cores", 31, [](Cluster& c) { c.scale_out.layers = 3, c.scale_out.core_oversubscription = 4; });
  const auto dragonfly = [](Cluster& c) { c.scale_out.kind = FabricKind::dragonfly, c.scale_out.rails = false, c.scale_out.layers = 1; };
  add("dragonfly of nine groups", 18, dragonfly);
  add("dragonfly of three groups", 5, dragonfly);
  add("dragonfly of one group", 2, dragonfly);
  return out;
}

class FabricShapes : public testing::TestWithParam<Shape> {};
INSTANTIATE_TEST_SUITE_P(All, FabricShapes, testing::ValuesIn(shapes()), [](const auto& test) {
  std::string name = test.param.name;
  name.erase(std::remove_if(name.begin(), name.end(), [](char c) { return c == ' ' || c == ','; }), name.end());
  return name;
});

std::uint32_t nic_of(const Cluster& c, std::int64_t gpu) {
  const std::int64_t rails = std::min(c.gpus_per_node, c.scale_out.nics_per_node);
  return static_cast<std::uint32_t>(gpu / c.gpus_per_node * rails + gpu % c.gpus_per_node * rails / c.gpus_per_node);
}

std::string part_text(const Point& point) {
  constexpr std::array kNames = {"gpu", "nvswitch", "nic", "leaf", "spine", "core", "router"};
  return kNames[static_cast<std::size_t>(point.kind)] + std::string(" ") + std::to_string(point.index);
}

void expect_joined(const Cluster& c, const Fabric& fabric, std::int64_t a, std::int64_t b) {
  Point at{PointKind::gpu, static_cast<std::uint32_t>(a)};
  const Route route = fabric.route(a, b, static_cast<std::uint64_t>(a * 1000 + b));
  double narrowest = std::numeric_limits<double>::infinity();
  int nvlink = 0;  // links, two a hop
  for (const std::uint32_t id : route.links()) {
    const FabricLink link = fabric.link(id);
    ASSERT_FALSE(fabric.broken(id)) << fabric.link_name(id);
    if (at.kind == PointKind::gpu && link.kind == LinkKind::nic) at = {PointKind::nic, nic_of(c, at.index)};
    if (at.kind == PointKind::nic && link.kind == LinkKind::nvlink) {
      ASSERT_EQ(nic_of(c, link.from.index), at.index);
      at = link.from;
    }
    ASSERT_EQ(link.from, at) << "route " << a << " -> " << b << " at " << fabric.link_name(id);
    at = link.to;
    narrowest = std::min(narrowest, link.capacity.value());
    nvlink += link.kind == LinkKind::nvlink ? 1 : 0;
  }
  const Point end = at.kind == PointKind::gpu ? Point{PointKind::gpu, static_cast<std::uint32_t>(b)} : Point{PointKind::nic, nic_of(c, b)};
  ASSERT_EQ(at, end) << "route " << a << " -> " << b;
  ASSERT_EQ(route.bandwidth.value(), narrowest);
  double latency = 3e-6 * nvlink / 2;
  if (route.network_switches > 0) latency += 2e-6 + 0.5e-6 * static_cast<double>(route.network_switches - 1);
  ASSERT_DOUBLE_EQ(route.latency.value(), latency);
}

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

// --- failures ---

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
  EXPECT_EQ(says("spine 99"), "failures: there is no spine 99; they are numbered 0 to 31");
  EXPECT_EQ(says("core 0"), "failures: 'core 0': this network has no core");
  EXPECT_EQ(says("leaf 0 - leaf 1"), "failures: 'leaf 0 - leaf 1': no cable lies between the two");
  EXPECT_EQ(says("spine 31"), "nothing");
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
}  // namespace trillion
