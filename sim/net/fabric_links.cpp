// Which number a link has, and what lies at its ends.
#include <algorithm>
#include <limits>

#include "sim/base/error.h"
#include "sim/net/fabric.h"

namespace trillion {

namespace {

std::string point_name(const Point& point) {
  return std::string(kPointKindNames[static_cast<std::size_t>(point.kind)]) + " " + std::to_string(point.index);
}

}  // namespace

std::uint32_t Fabric::narrow(std::int64_t value) {
  CHECK(value >= 0 && value < std::numeric_limits<std::uint32_t>::max(), "more links than 32 bits can number");
  return static_cast<std::uint32_t>(value);
}

void Fabric::number_links(const Cluster& cluster) {
  const auto cables = [&](std::int64_t count) { return static_cast<double>(count) * cluster.scale_out.nic_bandwidth; };
  const std::int64_t spines = clos_.planes * clos_.pods * clos_.spines_per_pod;
  const std::int64_t cables_per_nic = rails_ > 0 ? cluster.scale_out.nics_per_node / rails_ : 1;
  const std::int64_t locals = dragonfly_.routers() * std::max<std::int64_t>(0, dragonfly_.routers_per_group - 1);
  const std::int64_t globals = dragonfly_.groups * (dragonfly_.groups - 1) * dragonfly_.global_per_pair;
  const std::array<std::pair<std::int64_t, BytesPerSecond>, 6> kinds = {{
      {domain_gpus_ > 1 ? gpus_ : 0, cluster.scale_up.bandwidth},
      {nics_, cables(cables_per_nic)},
      {clos_.planes * clos_.leaves * clos_.spines_per_pod, cables(clos_.cables_leaf_spine)},
      {spines * clos_.cores_per_spine, cables(clos_.cables_spine_core)},
      {locals, cables(1)},
      {globals, cables(1)},
  }};
  constexpr std::array<std::size_t, block_end> kKindOfBlock = {0, 0, 1, 1, 2, 2, 3, 3, 4, 5};
  std::int64_t begin = 0;
  for (std::size_t block = 0; block < block_end; ++block) {
    const auto& [count, capacity] = kinds[kKindOfBlock[block]];
    blocks_[block] = {narrow(begin), capacity};
    begin += count;
  }
  blocks_[block_end] = {narrow(begin), {}};
}

LinkClass Fabric::links_of(LinkKind kind) const {
  constexpr std::array<Block, kLinkKindNames.size() + 1> kFirst = {nvlink_up, nic_up, leaf_up, spine_up, local, global, block_end};
  const Block first = kFirst[static_cast<std::size_t>(kind)], next = kFirst[static_cast<std::size_t>(kind) + 1];
  const std::uint32_t count = blocks_[next].begin - blocks_[first].begin;
  return {count, count > 0 ? blocks_[first].capacity : BytesPerSecond{0}};
}

FabricLink Fabric::link(std::uint32_t id) const {
  CHECK(id < link_count(), "no such link");
  std::size_t block = 0;
  while (id >= blocks_[block + 1].begin) ++block;
  if (block >= local) {
    const auto [from, to] = ends_between_routers(static_cast<Block>(block), id - blocks_[block].begin);
    return {block == local ? LinkKind::local : LinkKind::global, from, to, blocks_[block].capacity};
  }
  const auto [low, high] = ends_of_upward(static_cast<Block>(block & ~std::size_t{1}), id - blocks_[block].begin);
  const bool up = block % 2 == 0;
  return {static_cast<LinkKind>(block / 2), up ? low : high, up ? high : low, blocks_[block].capacity};
}

std::string Fabric::link_name(std::uint32_t id) const {
  const FabricLink described = link(id);
  return point_name(described.from) + " -> " + point_name(described.to);
}

std::uint32_t Fabric::nic_link(std::int64_t nic, bool up) const { return blocks_[up ? nic_up : nic_down].begin + narrow(nic); }

BytesPerSecond Fabric::own_nic_rate() const {
  return blocks_[nic_up].capacity * (static_cast<double>(rails_) / static_cast<double>(gpus_per_node_));
}

std::pair<Point, Point> Fabric::ends_of_upward(Block block, std::uint32_t index) const {
  if (block == nvlink_up) return {{PointKind::gpu, index}, {PointKind::nvswitch, narrow(domain_of(index))}};
  if (block == nic_up) {
    const PointKind above = is_dragonfly() ? PointKind::router : PointKind::leaf;
    return {{PointKind::nic, index}, {above, narrow(leaf_of_nic(index))}};
  }
  if (block == leaf_up) {
    const std::int64_t leaf = index / clos_.spines_per_pod, spine = index % clos_.spines_per_pod;
    return {{PointKind::leaf, narrow(leaf)}, {PointKind::spine, narrow(pod_of_leaf(leaf) * clos_.spines_per_pod + spine)}};
  }
  const std::int64_t spine = index / clos_.cores_per_spine, number = index % clos_.cores_per_spine;
  const std::int64_t plane = spine / (clos_.pods * clos_.spines_per_pod);
  const std::int64_t group = plane * clos_.spines_per_pod + spine % clos_.spines_per_pod;
  return {{PointKind::spine, narrow(spine)}, {PointKind::core, narrow(group * clos_.cores_per_spine + number)}};
}

// The inverse of append_local and of the numbering in append_dragonfly.
std::pair<Point, Point> Fabric::ends_between_routers(Block block, std::uint32_t index) const {
  const Dragonfly& d = dragonfly_;
  const auto router = [](std::int64_t number) { return Point{PointKind::router, narrow(number)}; };
  if (block == local) {
    const std::int64_t others = d.routers_per_group - 1, from = index / others, to = index % others;
    const std::int64_t within = from % d.routers_per_group;
    return {router(from), router(d.group_of(from) * d.routers_per_group + to + (to >= within ? 1 : 0))};
  }
  const std::int64_t cable = index % d.global_per_pair, pair = index / d.global_per_pair;
  const std::int64_t from = pair / (d.groups - 1), to = (from + 1 + pair % (d.groups - 1)) % d.groups;
  return {router(d.gateway(from, to, cable)), router(d.gateway(to, from, cable))};
}

std::int64_t Fabric::nic_of(std::int64_t gpu) const {
  if (rails_ == gpus_per_node_) return gpu;
  const std::int64_t node = gpu / gpus_per_node_, place = gpu % gpus_per_node_;
  return node * rails_ + place * rails_ / gpus_per_node_;
}

std::int64_t Fabric::find_leaf_of_nic(std::int64_t nic) const {
  if (is_dragonfly()) return nic / dragonfly_.nics_per_router;
  const std::int64_t block = nic / rails_ / clos_.nodes_per_leaf, rail = nic % rails_;
  if (!clos_.per_rail_leaves) return block;
  const std::int64_t plane = rail % clos_.planes, rails_per_plane = rails_ / clos_.planes;
  return plane * clos_.leaves + block * rails_per_plane + rail / clos_.planes;
}

std::int64_t Fabric::pod_of_leaf(std::int64_t leaf) const {
  return leaf / clos_.leaves * clos_.pods + leaf % clos_.leaves / clos_.leaves_per_pod;
}

}  // namespace trillion
