// Which links lie between two GPUs.
#include <algorithm>
#include <limits>
#include <map>

#include "sim/base/error.h"
#include "sim/base/random.h"
#include "sim/net/fabric.h"
#include "sim/net/switch_graph.h"

namespace trillion {

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
