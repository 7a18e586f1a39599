// Fabrics of every shape, small enough to look at every pair of GPUs, and what the tests of fabrics share.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "sim/net/fabric.h"

namespace trillion {

// DeepSeek's nodes: a NIC per GPU.
inline Cluster cluster(std::int64_t nodes, std::int64_t gpus_per_node = 8) {
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

inline std::string kinds(const Fabric& fabric, const Route& route) {
  std::string out;
  for (const std::uint32_t link : route.links()) {
    out += (out.empty() ? "" : " ") + std::string(kLinkKindNames[static_cast<std::size_t>(fabric.link(link).kind)]);
  }
  return out;
}

struct FabricShape {
  std::string name;
  Cluster cluster;
  friend std::ostream& operator<<(std::ostream& out, const FabricShape& shape) { return out << shape.name; }
};

inline std::vector<FabricShape> shapes() {
  std::vector<FabricShape> out;
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

// Instantiated once, in fabric_test.cpp, for the tests of all files.
class FabricShapes : public testing::TestWithParam<FabricShape> {};

inline std::string shape_name(const testing::TestParamInfo<FabricShape>& test) {
  std::string name = test.param.name;
  name.erase(std::remove_if(name.begin(), name.end(), [](char c) { return c == ' ' || c == ','; }), name.end());
  return name;
}

inline std::uint32_t nic_of(const Cluster& c, std::int64_t gpu) {
  const std::int64_t rails = std::min(c.gpus_per_node, c.scale_out.nics_per_node);
  return static_cast<std::uint32_t>(gpu / c.gpus_per_node * rails + gpu % c.gpus_per_node * rails / c.gpus_per_node);
}

// A route begins at a's GPU or NIC, ends at b's, and every link begins where the one before it ended.
inline void expect_joined(const Cluster& c, const Fabric& fabric, std::int64_t a, std::int64_t b) {
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

}  // namespace trillion
