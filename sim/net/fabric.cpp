#include "sim/net/fabric.h"

#include <algorithm>
#include <limits>
#include <map>

#include "sim/base/error.h"
#include "sim/base/random.h"
#include "sim/net/switch_graph.h"

namespace trillion {

namespace {

constexpr std::array<std::string_view, 7> kPointNames = {"gpu", "nvswitch of domain", "nic", "leaf", "spine", "core", "router"};

std::string point_name(const Point& point) {
  return std::string(kPointNames[static_cast<std::size_t>(point.kind)]) + " " + std::to_string(point.index);
}

std::uint32_t narrow(std::int64_t value) {
  CHECK(value >= 0 && value < std::numeric_limits<std::uint32_t>::max(), "more links than 32 bits can number");
  return static_cast<std::uint32_t>(value);
}

Point point_of(const NetworkPart& part) {
  constexpr std::array kKinds = {PointKind::nic, PointKind::leaf, PointKind::spine, PointKind::core, PointKind::router};
  return {kKinds[static_cast<std::size_t>(part.kind)], narrow(part.index)};
}

// Both sizings of one cluster; the one that its kind does not have stays empty.
struct Sizings {
  Clos clos;
  Dragonfly dragonfly;
  std::vector<std::string> misfits;
};

Sizings size(const Cluster& cluster) {
  if (cluster.scale_out.kind == FabricKind::dragonfly) {
    DragonflySizing sizing = size_dragonfly(cluster);
    return {{}, sizing.dragonfly, std::move(sizing.misfits)};
  }
  ClosSizing sizing = size_clos(cluster);
  return {sizing.clos, {}, std::move(sizing.misfits)};
}

InputError error_of(const Cluster& cluster, const std::vector<std::string>& misfits) {
  std::vector<Diagnostic> diagnostics;
  for (const std::string& misfit : misfits) diagnostics.push_back({{}, "cluster '" + cluster.name + "': " + misfit, {}, {}});
  return InputError(std::move(diagnostics));
}

}  // namespace

std::vector<std::string> Fabric::misfits(const Cluster& cluster) {
  const Sizings sizings = size(cluster);
  if (!sizings.misfits.empty() || cluster.scale_out.failures.empty()) return sizings.misfits;
  const std::string cut = Fabric(cluster, sizings.clos, sizings.dragonfly).cut_off();
  return cut.empty() ? std::vector<std::string>{} : std::vector{cut};
}

Fabric Fabric::build(const Cluster& cluster) {
  const Sizings sizings = size(cluster);
  if (!sizings.misfits.empty()) throw error_of(cluster, sizings.misfits);
  Fabric fabric(cluster, sizings.clos, sizings.dragonfly);
  if (const std::string cut = fabric.cut_off(); !cut.empty()) throw error_of(cluster, {cut});
  return fabric;
}

Fabric::Fabric(const Cluster& cluster, const Clos& clos, const Dragonfly& dragonfly)
    : gpus_(cluster.gpus()),
      gpus_per_node_(cluster.gpus_per_node),
      domain_gpus_(std::max<std::int64_t>(1, cluster.scale_up.domain_gpus)),
      rails_(std::min(cluster.scale_out.nics_per_node, cluster.gpus_per_node)),
      nics_(cluster.nodes * rails_),
      clos_(clos),
      dragonfly_(dragonfly),
      routing_(cluster.scale_out.routing),
      seed_(cluster.scale_out.routing_seed),
      nvlink_latency_(cluster.scale_up.latency),
      nic_latency_(cluster.scale_out.nic_latency),
      hop_latency_(cluster.scale_out.hop_latency) {
  number_links(cluster);
  for (std::size_t direct = 0; direct < kMeets; ++direct) {
    for (std::size_t relayed = 0; relayed < kMeets; ++relayed) {
      classes_[direct * kMeets + relayed] = shortest_path(static_cast<Meet>(direct), static_cast<Meet>(relayed));
    }
  }
  if (!cluster.scale_out.failures.empty()) break_links(cluster.scale_out.failures);
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

void Fabric::break_links(const std::vector<Failure>& failures) {
  broken_.assign(link_count(), false);
  std::vector<std::string> unknown;
  for (const Failure& failure : failures) break_links_of(failure, unknown);
  if (!unknown.empty()) {
    std::vector<Diagnostic> diagnostics;
    for (const std::string& text : unknown) diagnostics.push_back({{}, "failures: " + text, {}, {}});
    throw InputError(std::move(diagnostics));
  }
  graph_ = std::make_shared<SwitchGraph>(*this);
}

void Fabric::break_links_of(const Failure& failure, std::vector<std::string>& unknown) {
  const Point point = point_of(failure.part), other = failure.other ? point_of(*failure.other) : Point{};
  bool found = false;
  std::int64_t highest = -1;  // number of that kind of part
  for (std::uint32_t id = blocks_[nic_up].begin; id < link_count(); ++id) {
    const FabricLink l = link(id);
    for (const Point& end : {l.from, l.to}) {
      if (end.kind == point.kind) highest = std::max<std::int64_t>(highest, end.index);
    }
    const bool touches =
        failure.other ? (l.from == point && l.to == other) || (l.from == other && l.to == point) : l.from == point || l.to == point;
    if (touches) broken_[id] = found = true;
  }
  if (found) return;
  const std::string kind(kPointNames[static_cast<std::size_t>(point.kind)]);
  if (highest < 0) {
    unknown.push_back("'" + to_text(failure) + "': this network has no " + kind);
  } else if (point.index > highest) {
    unknown.push_back("there is no " + kind + " " + std::to_string(point.index) + "; they are numbered 0 to " + std::to_string(highest));
  } else {
    unknown.push_back("'" + to_text(failure) + "': no cable lies between the two");
  }
}

std::string Fabric::cut_off() const { return graph_ ? graph_->cut_off(*this, gpus_per_node_) : std::string(); }

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
  const std::int64_t node = gpu / gpus_per_node_, place = gpu % gpus_per_node_;
  return node * rails_ + place * rails_ / gpus_per_node_;
}

// In a dragonfly, its router.
std::int64_t Fabric::leaf_of_nic(std::int64_t nic) const {
  if (is_dragonfly()) return nic / dragonfly_.nics_per_router;
  const std::int64_t block = nic / rails_ / clos_.nodes_per_leaf, rail = nic % rails_;
  if (!clos_.per_rail_leaves) return block;
  const std::int64_t plane = rail % clos_.planes, rails_per_plane = rails_ / clos_.planes;
  return plane * clos_.leaves + block * rails_per_plane + rail / clos_.planes;
}

std::int64_t Fabric::pod_of_leaf(std::int64_t leaf) const {
  return leaf / clos_.leaves * clos_.pods + leaf % clos_.leaves / clos_.leaves_per_pod;
}

std::int64_t Fabric::relay_for(std::int64_t a, std::int64_t b) const {
  const std::int64_t relay = a - a % gpus_per_node_ + b % gpus_per_node_;
  return domain_of(relay) == domain_of(a) ? relay : a;
}

Meet Fabric::meet(std::int64_t nic_a, std::int64_t nic_b) const {
  const std::int64_t leaf_a = leaf_of_nic(nic_a), leaf_b = leaf_of_nic(nic_b);
  if (leaf_a == leaf_b) return Meet::leaf;
  if (!clos_.leaves_joined || leaf_a / clos_.leaves != leaf_b / clos_.leaves) return Meet::never;
  return pod_of_leaf(leaf_a) == pod_of_leaf(leaf_b) ? Meet::spine : Meet::core;
}

PathClass Fabric::class_of(std::int64_t a, std::int64_t b) const {
  const Meet direct = meet(nic_of(a), nic_of(b)), relayed = meet(nic_of(relay_for(a, b)), nic_of(b));
  return classes_[static_cast<std::size_t>(direct) * kMeets + static_cast<std::size_t>(relayed)];
}

Route Fabric::route(std::int64_t a, std::int64_t b, std::uint64_t choice) const {
  std::int64_t nic_a = 0;
  const Route start = route_start(a, b, nic_a);
  if (a == b || domain_of(a) == domain_of(b)) return start;
  const std::int64_t nic_b = nic_of(b), paths = paths_between(nic_a, nic_b);
  const std::uint64_t hash = mix64(choice ^ mix64(seed_));
  if (broken_.empty()) return finished(start, nic_a, nic_b, static_cast<std::int64_t>(hash % static_cast<std::uint64_t>(paths)));
  const std::vector<Route> routes = whole_routes(start, nic_a, nic_b);
  return routes.empty() ? detour(a, b, choice) : routes[hash % routes.size()];
}

std::vector<Route> Fabric::equal_routes(std::int64_t a, std::int64_t b) const {
  std::int64_t nic_a = 0;
  const Route start = route_start(a, b, nic_a);
  if (a == b || domain_of(a) == domain_of(b)) return {start};
  std::vector<Route> routes = whole_routes(start, nic_a, nic_of(b));
  if (routes.empty()) routes.push_back(detour(a, b, 0));
  return routes;
}

std::vector<LinkShare> Fabric::shares(std::int64_t a, std::int64_t b) const {
  std::vector<LinkShare> result;
  shares(a, b, result);
  return result;
}

void Fabric::shares(std::int64_t a, std::int64_t b, std::vector<LinkShare>& into) const {
  into.clear();
  const bool network = a != b && domain_of(a) != domain_of(b);
  std::vector<Route> routes;
  if (network && adaptive() && !is_dragonfly() && broken_.empty()) {
    std::int64_t nic_a = 0;
    const Route start = route_start(a, b, nic_a);
    return runs(start, nic_a, nic_of(b), into);
  }
  if (network && adaptive()) {
    routes = equal_routes(a, b);
  } else {
    routes = {route(a, b, mix64(static_cast<std::uint64_t>(a)) ^ static_cast<std::uint64_t>(b))};
  }
  std::map<std::uint32_t, double> times;  // that a link is used
  for (const Route& route : routes) {
    for (const std::uint32_t link : route.links()) times[link] += 1;
  }
  for (const auto& [link, count] : times) into.push_back({link, 1, count / static_cast<double>(routes.size())});
}

// Blocks of links are numbered from the GPU up, so that this order is ascending.
void Fabric::runs(const Route& start, std::int64_t nic_a, std::int64_t nic_b, std::vector<LinkShare>& into) const {
  const auto add = [&](Block block, std::int64_t index, std::int64_t count) {
    into.push_back({blocks_[block].begin + narrow(index), narrow(count), 1});
  };
  for (const std::uint32_t link : start.links()) into.push_back({link, 1, 1});
  const std::int64_t leaf_a = leaf_of_nic(nic_a), leaf_b = leaf_of_nic(nic_b), spines = clos_.spines_per_pod;
  const Meet layer = meet(nic_a, nic_b);
  add(nic_up, nic_a, 1);
  add(nic_down, nic_b, 1);
  if (layer != Meet::leaf) {
    add(leaf_up, leaf_a * spines, spines);
    add(leaf_down, leaf_b * spines, spines);
  }
  if (layer == Meet::core) {
    const std::int64_t of_pod = spines * clos_.cores_per_spine;
    add(spine_up, pod_of_leaf(leaf_a) * of_pod, of_pod);
    add(spine_down, pod_of_leaf(leaf_b) * of_pod, of_pod);
  }
}

bool Fabric::can_be_full(const LinkShare& run) const {
  if (run.count == 1 || run.first < blocks_[leaf_up].begin) return true;
  const std::int64_t nics_of_leaf = clos_.nodes_per_leaf * (clos_.per_rail_leaves ? 1 : rails_);
  const bool of_leaf = run.first < blocks_[spine_up].begin;
  const double nics = static_cast<double>(of_leaf ? nics_of_leaf : nics_of_leaf * clos_.leaves_per_pod);
  return run.count * blocks_[of_leaf ? leaf_up : spine_up].capacity < nics * blocks_[nic_up].capacity;
}

std::vector<Route> Fabric::whole_routes(const Route& start, std::int64_t nic_a, std::int64_t nic_b) const {
  std::vector<Route> routes;
  const std::int64_t paths = adaptive() ? spread_paths_between(nic_a, nic_b) : paths_between(nic_a, nic_b);
  for (std::int64_t path = 0; path < paths; ++path) {
    const Route route = finished(start, nic_a, nic_b, path);
    if (whole(route)) routes.push_back(route);
  }
  return routes;
}

bool Fabric::whole(const Route& route) const {
  if (broken_.empty()) return true;
  const auto links = route.links();
  return std::none_of(links.begin(), links.end(), [&](std::uint32_t id) { return broken_[id]; });
}

Route Fabric::route_start(std::int64_t a, std::int64_t b, std::int64_t& nic_a) const {
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
  nic_a = nic_of(a);
  if (is_dragonfly()) return route;
  const PathClass path = class_of(a, b);
  CHECK(path.meet != Meet::never, "the fabric does not join two of its GPUs");
  if (path.relay) {
    const std::int64_t relay = relay_for(a, b);
    append(route, nvlink_up, a);
    append(route, nvlink_down, relay);
    route.latency = nvlink_latency_;
    nic_a = nic_of(relay);
  }
  return route;
}

std::int64_t Fabric::paths_between(std::int64_t nic_a, std::int64_t nic_b) const {
  if (is_dragonfly()) {
    const std::int64_t group_a = dragonfly_.group_of(leaf_of_nic(nic_a)), group_b = dragonfly_.group_of(leaf_of_nic(nic_b));
    return group_a == group_b ? 1 : dragonfly_.global_per_pair;
  }
  switch (meet(nic_a, nic_b)) {
    case Meet::spine: return clos_.spines_per_pod;
    case Meet::core: return clos_.spines_per_pod * clos_.cores_per_spine;
    default: return 1;
  }
}

std::int64_t Fabric::spread_paths_between(std::int64_t nic_a, std::int64_t nic_b) const {
  const std::int64_t router_a = leaf_of_nic(nic_a), router_b = leaf_of_nic(nic_b);
  const bool one_group = is_dragonfly() && router_a != router_b && dragonfly_.group_of(router_a) == dragonfly_.group_of(router_b);
  return one_group ? std::max<std::int64_t>(1, dragonfly_.routers_per_group - 1) : paths_between(nic_a, nic_b);
}

Route Fabric::finished(Route route, std::int64_t nic_a, std::int64_t nic_b, std::int64_t path) const {
  append(route, nic_up, nic_a);
  if (is_dragonfly()) {
    append_dragonfly(route, nic_a, nic_b, path);
  } else {
    append_tree(route, nic_a, nic_b, path);
  }
  append(route, nic_down, nic_b);
  route.latency += nic_latency_ + static_cast<double>(route.network_switches - 1) * hop_latency_;
  return route;
}

void Fabric::append(Route& route, std::uint32_t id) const {
  CHECK(route.count < Route::kMostLinks, "a route of more links than a Route holds");
  const std::size_t block = static_cast<std::size_t>(
      std::upper_bound(blocks_.begin(), blocks_.end(), id, [](std::uint32_t i, const BlockRow& row) { return i < row.begin; }) -
      blocks_.begin() - 1);
  route.link_at[route.count++] = id;
  route.bandwidth = std::min(route.bandwidth, blocks_[block].capacity);
  // Every link that ends at a network switch counts it.
  if (block != nvlink_up && block != nvlink_down && block != nic_down) ++route.network_switches;
}

void Fabric::append_tree(Route& route, std::int64_t nic_a, std::int64_t nic_b, std::int64_t path) const {
  const std::int64_t leaf_a = leaf_of_nic(nic_a), leaf_b = leaf_of_nic(nic_b);
  const Meet layer = meet(nic_a, nic_b);
  if (layer == Meet::leaf) return;
  const std::int64_t spine = path % clos_.spines_per_pod, core = path / clos_.spines_per_pod;
  append(route, leaf_up, leaf_a * clos_.spines_per_pod + spine);
  if (layer == Meet::core) {
    const auto uplink = [&](std::int64_t leaf) {
      return (pod_of_leaf(leaf) * clos_.spines_per_pod + spine) * clos_.cores_per_spine + core;
    };
    append(route, spine_up, uplink(leaf_a));
    append(route, spine_down, uplink(leaf_b));
  }
  append(route, leaf_down, leaf_b * clos_.spines_per_pod + spine);
}

void Fabric::append_dragonfly(Route& route, std::int64_t nic_a, std::int64_t nic_b, std::int64_t path) const {
  const Dragonfly& d = dragonfly_;
  const std::int64_t router_a = leaf_of_nic(nic_a), router_b = leaf_of_nic(nic_b);
  const std::int64_t from = d.group_of(router_a), to = d.group_of(router_b);
  if (from == to) {
    if (path > 0) {  // by another router of the group
      std::int64_t via = from * d.routers_per_group + path - 1;
      const auto [low, high] = std::minmax(router_a, router_b);
      via += (via >= low ? 1 : 0);
      via += (via >= high ? 1 : 0);
      append_local(route, router_a, via);
      return append_local(route, via, router_b);
    }
    return append_local(route, router_a, router_b);
  }
  append_local(route, router_a, d.gateway(from, to, path));
  const std::int64_t away = (to - from - 1 + d.groups) % d.groups;
  append(route, global, (from * (d.groups - 1) + away) * d.global_per_pair + path);
  append_local(route, d.gateway(to, from, path), router_b);
}

void Fabric::append_local(Route& route, std::int64_t from, std::int64_t to) const {
  if (from == to) return;
  const std::int64_t within = to % dragonfly_.routers_per_group, own = from % dragonfly_.routers_per_group;
  append(route, local, from * (dragonfly_.routers_per_group - 1) + within - (within > own ? 1 : 0));
}

Route Fabric::detour(std::int64_t a, std::int64_t b, std::uint64_t choice) const {
  const Detour way = graph_->detour(*this, a, b, mix64(choice ^ mix64(seed_)));
  Route route;
  route.bandwidth = BytesPerSecond{std::numeric_limits<double>::infinity()};
  const auto over_nvlink = [&](std::int64_t from, std::int64_t to) {
    if (from == to) return;
    append(route, nvlink_up, from);
    append(route, nvlink_down, to);
    route.latency += nvlink_latency_;
  };
  over_nvlink(a, way.sender);
  append(route, nic_up, nic_of(way.sender));
  for (const std::uint32_t id : way.links) append(route, id);
  append(route, nic_down, nic_of(way.receiver));
  route.latency += nic_latency_ + static_cast<double>(route.network_switches - 1) * hop_latency_;
  over_nvlink(way.receiver, b);
  return route;
}

}  // namespace trillion
