#include "sim/net/fabric.h"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/dijkstra_shortest_paths.hpp>
#include <limits>

#include "sim/base/error.h"
#include "sim/base/random.h"

namespace trillion {

namespace {

constexpr std::array<std::string_view, 6> kPointNames = {"gpu", "nvswitch of domain", "nic", "leaf", "spine", "core"};

std::string point_name(const Point& point) {
  return std::string(kPointNames[static_cast<std::size_t>(point.kind)]) + " " + std::to_string(point.index);
}

std::uint32_t narrow(std::int64_t value) {
  CHECK(value >= 0 && value < std::numeric_limits<std::uint32_t>::max(), "more links than 32 bits can number");
  return static_cast<std::uint32_t>(value);
}

// What surrounds a source GPU, the GPU beside it on the destination's rail (`relay`), and the destination. Of equal spines and
// cores there is one.
enum Place : std::size_t {
  source,
  relay,
  destination,
  nvswitch,
  source_nic,
  relay_nic,
  destination_nic,
  destination_leaf,
  leaf_of_the_pod,
  leaf_of_another_pod,
  leaf_apart,
  spine_of_the_pod,
  spine_of_another_pod,
  core,
  place_count
};

using Graph =
    boost::adjacency_list<boost::vecS, boost::vecS, boost::undirectedS, boost::no_property, boost::property<boost::edge_weight_t, int>>;

// Network switches count first, then links: a link of a switch weighs half a switch and more than any number of others.
constexpr int kLinkOfSwitch = 100;
constexpr int kOther = 1;

}  // namespace

std::vector<std::string> Fabric::misfits(const Cluster& cluster) { return size_clos(cluster).misfits; }

Fabric Fabric::build(const Cluster& cluster) {
  const ClosSizing sizing = size_clos(cluster);
  if (!sizing.misfits.empty()) {
    std::vector<Diagnostic> diagnostics;
    for (const std::string& misfit : sizing.misfits) diagnostics.push_back({{}, "cluster '" + cluster.name + "': " + misfit, {}, {}});
    throw InputError(std::move(diagnostics));
  }
  return Fabric(cluster, sizing.clos);
}

Fabric::Fabric(const Cluster& cluster, const Clos& clos)
    : gpus_(cluster.gpus()),
      gpus_per_node_(cluster.gpus_per_node),
      domain_gpus_(std::max<std::int64_t>(1, cluster.scale_up.domain_gpus)),
      nics_(cluster.nodes * clos.rails),
      clos_(clos),
      nvlink_latency_(cluster.scale_up.latency),
      nic_latency_(cluster.scale_out.nic_latency),
      hop_latency_(cluster.scale_out.hop_latency) {
  number_links(cluster);
  for (std::size_t direct = 0; direct < kMeets; ++direct) {
    for (std::size_t relayed = 0; relayed < kMeets; ++relayed) {
      classes_[direct * kMeets + relayed] = shortest(static_cast<Meet>(direct), static_cast<Meet>(relayed));
    }
  }
}

void Fabric::number_links(const Cluster& cluster) {
  const auto cables = [&](std::int64_t count) { return static_cast<double>(count) * cluster.scale_out.nic_bandwidth; };
  const std::int64_t spines = clos_.planes * clos_.pods * clos_.spines_per_pod;
  const std::array<std::pair<std::int64_t, BytesPerSecond>, 4> kinds = {{
      {domain_gpus_ > 1 ? gpus_ : 0, cluster.scale_up.bandwidth},
      {nics_, cables(clos_.cables_per_nic)},
      {clos_.planes * clos_.leaves * clos_.spines_per_pod, cables(clos_.cables_leaf_spine)},
      {spines * clos_.cores_per_spine, cables(clos_.cables_spine_core)},
  }};
  std::int64_t begin = 0;
  for (std::size_t block = 0; block < block_end; ++block) {
    const auto& [count, capacity] = kinds[block / 2];
    blocks_[block] = {narrow(begin), capacity};
    begin += count;
  }
  blocks_[block_end] = {narrow(begin), {}};
}

LinkClass Fabric::links_of(LinkKind kind) const {
  const std::size_t up = 2 * static_cast<std::size_t>(kind);
  const std::uint32_t count = blocks_[up + 2].begin - blocks_[up].begin;
  return {count, count > 0 ? blocks_[up].capacity : BytesPerSecond{0}};
}

FabricLink Fabric::link(std::uint32_t id) const {
  CHECK(id < link_count(), "no such link");
  std::size_t block = 0;
  while (id >= blocks_[block + 1].begin) ++block;
  const auto [low, high] = ends_of_upward(static_cast<Block>(block & ~std::size_t{1}), id - blocks_[block].begin);
  const bool up = block % 2 == 0;
  return {static_cast<LinkKind>(block / 2), up ? low : high, up ? high : low, blocks_[block].capacity};
}

std::string Fabric::link_name(std::uint32_t id) const {
  const FabricLink described = link(id);
  return point_name(described.from) + " -> " + point_name(described.to);
}

std::pair<Point, Point> Fabric::ends_of_upward(Block block, std::uint32_t index) const {
  if (block == nvlink_up) return {{PointKind::gpu, index}, {PointKind::nvswitch, narrow(domain_of(index))}};
  if (block == nic_up) return {{PointKind::nic, index}, {PointKind::leaf, narrow(leaf_of_nic(index))}};
  if (block == leaf_up) {
    const std::int64_t leaf = index / clos_.spines_per_pod, spine = index % clos_.spines_per_pod;
    return {{PointKind::leaf, narrow(leaf)}, {PointKind::spine, narrow(pod_of_leaf(leaf) * clos_.spines_per_pod + spine)}};
  }
  const std::int64_t spine = index / clos_.cores_per_spine, number = index % clos_.cores_per_spine;
  const std::int64_t plane = spine / (clos_.pods * clos_.spines_per_pod);
  const std::int64_t group = plane * clos_.spines_per_pod + spine % clos_.spines_per_pod;
  return {{PointKind::spine, narrow(spine)}, {PointKind::core, narrow(group * clos_.cores_per_spine + number)}};
}

Fabric::PathClass Fabric::shortest(Meet direct, Meet relayed) {
  constexpr std::array<Place, kMeets> kLeafThatMeets = {destination_leaf, leaf_of_the_pod, leaf_of_another_pod, leaf_apart};
  Graph graph(place_count);
  const auto join = [&](Place a, Place b, int weight) { boost::add_edge(a, b, weight, graph); };
  join(source, nvswitch, kOther);
  join(nvswitch, relay, kOther);
  join(source, source_nic, kOther);
  join(relay, relay_nic, kOther);
  join(destination, destination_nic, kOther);
  join(source_nic, kLeafThatMeets[static_cast<std::size_t>(direct)], kLinkOfSwitch);
  join(relay_nic, kLeafThatMeets[static_cast<std::size_t>(relayed)], kLinkOfSwitch);
  join(destination_nic, destination_leaf, kLinkOfSwitch);
  join(destination_leaf, spine_of_the_pod, kLinkOfSwitch);
  join(leaf_of_the_pod, spine_of_the_pod, kLinkOfSwitch);
  join(leaf_of_another_pod, spine_of_another_pod, kLinkOfSwitch);
  join(spine_of_the_pod, core, kLinkOfSwitch);
  join(spine_of_another_pod, core, kLinkOfSwitch);

  std::array<std::size_t, place_count> before{};
  boost::dijkstra_shortest_paths(graph, source, boost::predecessor_map(before.data()));
  PathClass path;
  if (before[destination] == destination) return path;  // out of reach
  path.meet = Meet::leaf;
  for (std::size_t at = destination; at != source; at = before[at]) {
    if (at == nvswitch) path.relay = true;
    if (at == spine_of_the_pod) path.meet = std::max(path.meet, Meet::spine);
    if (at == core) path.meet = Meet::core;
  }
  return path;
}

std::int64_t Fabric::nic_of(std::int64_t gpu) const {
  const std::int64_t node = gpu / gpus_per_node_, place = gpu % gpus_per_node_;
  return node * clos_.rails + place * clos_.rails / gpus_per_node_;
}

std::int64_t Fabric::leaf_of_nic(std::int64_t nic) const {
  const std::int64_t block = nic / clos_.rails / clos_.nodes_per_leaf, rail = nic % clos_.rails;
  if (clos_.planes > 1) return rail * clos_.leaves + block;
  return clos_.per_rail_leaves ? block * clos_.rails + rail : block;
}

std::int64_t Fabric::pod_of_leaf(std::int64_t leaf) const {
  return leaf / clos_.leaves * clos_.pods + leaf % clos_.leaves / clos_.leaves_per_pod;
}

std::int64_t Fabric::relay_for(std::int64_t a, std::int64_t b) const {
  const std::int64_t relay = a - a % gpus_per_node_ + b % gpus_per_node_;
  return domain_of(relay) == domain_of(a) ? relay : a;
}

Fabric::Meet Fabric::meet(std::int64_t nic_a, std::int64_t nic_b) const {
  const std::int64_t leaf_a = leaf_of_nic(nic_a), leaf_b = leaf_of_nic(nic_b);
  if (leaf_a == leaf_b) return Meet::leaf;
  if (!clos_.leaves_joined || leaf_a / clos_.leaves != leaf_b / clos_.leaves) return Meet::never;
  return pod_of_leaf(leaf_a) == pod_of_leaf(leaf_b) ? Meet::spine : Meet::core;
}

Fabric::PathClass Fabric::class_of(std::int64_t a, std::int64_t b) const {
  const Meet direct = meet(nic_of(a), nic_of(b)), relayed = meet(nic_of(relay_for(a, b)), nic_of(b));
  return classes_[static_cast<std::size_t>(direct) * kMeets + static_cast<std::size_t>(relayed)];
}

Route Fabric::route(std::int64_t a, std::int64_t b, std::uint64_t choice) const {
  CHECK(a >= 0 && a < gpus_ && b >= 0 && b < gpus_, "no such GPU");
  Route route;
  route.bandwidth = BytesPerSecond{std::numeric_limits<double>::infinity()};
  if (a == b) return route;
  if (domain_of(a) == domain_of(b)) {
    append(route, nvlink_up, a);
    append(route, nvlink_down, b);
    route.latency = nvlink_latency_;
    return route;
  }
  const PathClass path = class_of(a, b);
  CHECK(path.meet != Meet::never, "the fabric does not join two of its GPUs");
  std::int64_t from = a;
  if (path.relay) {
    from = relay_for(a, b);
    append(route, nvlink_up, a);
    append(route, nvlink_down, from);
    route.latency = nvlink_latency_;
  }
  append_network(route, nic_of(from), nic_of(b), choice);
  route.network_switches = 1 + 2 * static_cast<std::int64_t>(path.meet);
  route.latency += nic_latency_ + static_cast<double>(route.network_switches - 1) * hop_latency_;
  return route;
}

void Fabric::append(Route& route, Block block, std::int64_t index) const {
  route.link_at[route.count++] = blocks_[block].begin + narrow(index);
  route.bandwidth = std::min(route.bandwidth, blocks_[block].capacity);
}

void Fabric::append_network(Route& route, std::int64_t nic_a, std::int64_t nic_b, std::uint64_t choice) const {
  const std::int64_t leaf_a = leaf_of_nic(nic_a), leaf_b = leaf_of_nic(nic_b);
  const Meet layer = meet(nic_a, nic_b);
  append(route, nic_up, nic_a);
  if (layer != Meet::leaf) {
    const std::uint64_t hash = mix64(choice);
    const auto spine = static_cast<std::int64_t>(hash % static_cast<std::uint64_t>(clos_.spines_per_pod));
    append(route, leaf_up, leaf_a * clos_.spines_per_pod + spine);
    if (layer == Meet::core) {
      const auto core = static_cast<std::int64_t>((hash >> 32) % static_cast<std::uint64_t>(clos_.cores_per_spine));
      const auto uplink = [&](std::int64_t leaf) {
        return (pod_of_leaf(leaf) * clos_.spines_per_pod + spine) * clos_.cores_per_spine + core;
      };
      append(route, spine_up, uplink(leaf_a));
      append(route, spine_down, uplink(leaf_b));
    }
    append(route, leaf_down, leaf_b * clos_.spines_per_pod + spine);
  }
  append(route, nic_down, nic_b);
}

}  // namespace trillion
