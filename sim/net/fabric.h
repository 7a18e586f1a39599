// A cluster as links: which ones there are, how fast, and which of them lie between two GPUs.
//
//   nvlink   GPU g -> its NVSwitches, and back             scale_up.bandwidth; a domain is a node, part of one, or a rack of them
//   nic      NIC of a GPU -> its leaf switch, and back      nic_bandwidth x NICs in the link
//   leaf     leaf -> spine, and back                        nic_bandwidth x cables
//   spine    spine -> core, and back                        nic_bandwidth x cables
//   local    dragonfly: router -> router of its group       nic_bandwidth
//   global   dragonfly: router -> router of another group   nic_bandwidth, one link per cable
//
// Links have one direction: each of the above is two. All links of a kind are alike. Sizes and cabling: net/clos.h, net/dragonfly.h.
//
// Routes cross as few network switches as possible, then as few links: NVLink within a scale-up domain; else NIC to NIC if they
// share a leaf; to another rail by NVLink to the GPU of the own node that is on the destination's rail, then along the rail
// (what NCCL calls PXN), if that saves a switch; else up and down the tree. In a dragonfly the own NIC is used, and between
// two groups any of the cables between them, though not all make equally short routes.
//
// Which of the equal spines, cores or cables is taken: with `routing: ecmp` a hash decides, of the caller's `choice` and the
// cluster's routing_seed; with `adaptive` traffic spreads evenly over all of them (equal_routes), in a dragonfly's group also over detours
// by one more router, as Valiant did, since two routers share one cable only. Broken links are left out; where no
// such route is whole, the shortest of all ways around is taken, over other GPUs' NICs too (net/switch_graph.h).
//
//   latency = scale_up.latency x times that NVLink is used + nic_latency + hop_latency x (network switches - 1)
//
// Example: 256 nodes of 8 GPUs, 8 rails, 64 ports, two layers -> 64 leaves, 32 spines, 2 x 2048 links of each kind but spine.
//
// Where two GPUs of a tree stand to each other leaves only 16 cases; the shortest path of each is searched once (Boost.Graph) and
// the rest is arithmetic: building and asking cost microseconds, whatever the size.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/net/clos.h"
#include "sim/net/dragonfly.h"
#include "sim/net/path_class.h"
#include "sim/spec/cluster.h"

namespace trillion {

enum class LinkKind : std::uint8_t { nvlink, nic, leaf, spine, local, global };
inline constexpr std::array<std::string_view, 6> kLinkKindNames = {"nvlink", "nic", "leaf", "spine", "local", "global"};

// Where links begin and end. A NIC link begins or ends at the GPU that uses it in nature, at `nic` here, since GPUs may share it.
enum class PointKind : std::uint8_t { gpu, nvswitch, nic, leaf, spine, core, router };
inline constexpr std::array<std::string_view, 7> kPointKindNames = {"gpu", "nvswitch of domain", "nic", "leaf", "spine", "core", "router"};
struct Point {
  PointKind kind = PointKind::gpu;
  std::uint32_t index = 0;
  friend auto operator<=>(const Point&, const Point&) = default;
};
inline bool is_network_switch(PointKind kind) { return kind >= PointKind::leaf; }

struct FabricLink {
  LinkKind kind = LinkKind::nvlink;
  Point from, to;
  BytesPerSecond capacity;
};

// All links of one kind; count is 0 where the cluster has none.
struct LinkClass {
  std::uint32_t count = 0;  // both directions, broken ones too
  BytesPerSecond capacity;  // of each
};

// What lies between two GPUs, in the order of travel.
struct Route {
  static constexpr std::size_t kMostLinks = 16;
  std::array<std::uint32_t, kMostLinks> link_at{};
  std::uint32_t count = 0;
  Seconds latency;
  BytesPerSecond bandwidth;           // of the narrowest link, for a flow alone; infinite from a GPU to itself
  std::int64_t network_switches = 0;  // leaf, spine, core, router

  std::span<const std::uint32_t> links() const { return {link_at.data(), count}; }
};

// `share` of a transfer goes evenly over `count` links in a row. A run of several is always used as a whole, by everything that
// touches one of them, so that it can stand for one link of their joint capacity.
struct LinkShare {
  std::uint32_t first = 0, count = 1;
  double share = 1;
  friend bool operator==(const LinkShare&, const LinkShare&) = default;
};

class SwitchGraph;

class Fabric {
 public:
  // Why the cluster does not fit its switches, or which nodes its failures cut off; empty when all is well. Throws InputError for a
  // failure that names a part which is not there. REQUIRES: cluster.validate() is empty.
  static std::vector<std::string> misfits(const Cluster& cluster);

  // Throws InputError with the misfits. REQUIRES: cluster.validate() is empty.
  static Fabric build(const Cluster& cluster);

  std::int64_t gpus() const { return gpus_; }
  bool adaptive() const { return routing_ == PathChoice::adaptive; }
  const Clos& clos() const { return clos_; }
  const Dragonfly& dragonfly() const { return dragonfly_; }
  std::int64_t network_switches() const { return dragonfly_.routers() + (rails_ > 0 && dragonfly_.groups == 0 ? clos_.switches() : 0); }

  std::uint32_t link_count() const { return blocks_.back().begin; }
  FabricLink link(std::uint32_t id) const;
  std::string link_name(std::uint32_t id) const;  // "nic 17 -> leaf 9"
  bool broken(std::uint32_t id) const { return !broken_.empty() && broken_[id]; }
  LinkClass links_of(LinkKind kind) const;

  // REQUIRES: 0 <= a, b < gpus(). `choice` picks among equal routes; the same choice, the same route.
  Route route(std::int64_t a, std::int64_t b, std::uint64_t choice = 0) const;
  // All routes that are whole and that traffic may spread over; never empty. The caller gives each an equal part.
  std::vector<Route> equal_routes(std::int64_t a, std::int64_t b) const;
  // What a transfer puts on which links as the cluster routes: ECMP's one route, by a hash of the two ends, or all equal ones.
  // Each link or run once, in ascending order.
  std::vector<LinkShare> shares(std::int64_t a, std::int64_t b) const;
  void shares(std::int64_t a, std::int64_t b, std::vector<LinkShare>& into) const;
  // Whether a run of links may hold anyone back. Not if it is as wide as all NICs below it together: these are full first.
  bool can_be_full(const LinkShare& run) const;
  Seconds latency(std::int64_t a, std::int64_t b) const { return route(a, b).latency; }
  BytesPerSecond path_bandwidth(std::int64_t a, std::int64_t b) const { return route(a, b).bandwidth; }

  std::int64_t domain_of(std::int64_t gpu) const { return gpu / domain_gpus_; }
  std::int64_t domain_gpus() const { return domain_gpus_; }
  std::int64_t nic_of(std::int64_t gpu) const;  // REQUIRES: the cluster has NICs
  BytesPerSecond own_nic_rate() const;          // of one GPU, if all of a node send
  std::uint32_t nic_link(std::int64_t nic, bool up) const;

 private:
  // Links of one kind and direction are numbered in a row; those between routers have no direction to tell apart.
  enum Block : std::uint8_t {
    nvlink_up,
    nvlink_down,
    nic_up,
    nic_down,
    leaf_up,
    leaf_down,
    spine_up,
    spine_down,
    local,
    global,
    block_end
  };
  struct BlockRow {
    std::uint32_t begin = 0;
    BytesPerSecond capacity;
  };

  Fabric(const Cluster& cluster, const Clos& clos, const Dragonfly& dragonfly);
  static std::uint32_t narrow(std::int64_t value);  // to the number of a link
  void number_links(const Cluster& cluster);
  void break_links(const std::vector<Failure>& failures);
  std::string break_links_of(const Failure& failure);
  std::string cut_off() const;  // the nodes that failures separate from most of the others; empty: none

  void runs(const Route& start, std::int64_t nic_a, std::int64_t nic_b, std::vector<LinkShare>& into) const;  // of a whole tree
  bool is_dragonfly() const { return dragonfly_.groups > 0; }
  std::int64_t find_leaf_of_nic(std::int64_t nic) const;  // in a dragonfly, its router
  std::int64_t leaf_of_nic(std::int64_t nic) const { return leaf_of_nic_[static_cast<std::size_t>(nic)]; }
  std::int64_t pod_of_leaf(std::int64_t leaf) const;
  std::int64_t relay_for(std::int64_t a, std::int64_t b) const;  // the GPU of a's node in b's place
  Meet meet(std::int64_t nic_a, std::int64_t nic_b) const;
  PathClass class_of(std::int64_t a, std::int64_t b) const;

  // A pair's equal routes are numbered; these count and make them, whole or not.
  Route route_start(std::int64_t a, std::int64_t b, std::int64_t& nic_a) const;  // up to the NIC; all there is within a domain
  std::int64_t paths_between(std::int64_t nic_a, std::int64_t nic_b) const;
  std::int64_t spread_paths_between(std::int64_t nic_a, std::int64_t nic_b) const;  // with detours, numbered after those
  Route finished(Route route, std::int64_t nic_a, std::int64_t nic_b, std::int64_t path) const;
  bool whole(const Route& route) const;
  std::vector<Route> whole_routes(const Route& start, std::int64_t nic_a, std::int64_t nic_b) const;
  Route detour(std::int64_t a, std::int64_t b, std::uint64_t choice) const;
  void append(Route& route, Block block, std::int64_t index) const {
    append(route, blocks_[block].begin + static_cast<std::uint32_t>(index));
  }
  void append(Route& route, std::uint32_t link) const;
  void append_tree(Route& route, std::int64_t nic_a, std::int64_t nic_b, std::int64_t path) const;
  void append_dragonfly(Route& route, std::int64_t nic_a, std::int64_t nic_b, std::int64_t path) const;
  void append_local(Route& route, std::int64_t from, std::int64_t to) const;
  std::pair<Point, Point> ends_of_upward(Block block, std::uint32_t index) const;
  std::pair<Point, Point> ends_between_routers(Block block, std::uint32_t index) const;
  std::int64_t gpus_ = 0, gpus_per_node_ = 1, domain_gpus_ = 1, rails_ = 0, nics_ = 0;
  Clos clos_;
  Dragonfly dragonfly_;
  PathChoice routing_ = PathChoice::adaptive;
  std::uint64_t seed_ = 0;
  Seconds nvlink_latency_, nic_latency_, hop_latency_;
  std::array<BlockRow, block_end + 1> blocks_{};
  std::array<PathClass, kMeets * kMeets> classes_{};
  std::vector<std::uint32_t> leaf_of_nic_;
  std::vector<bool> broken_;                  // by link; empty: none is
  std::shared_ptr<const SwitchGraph> graph_;  // only with failures
};

}  // namespace trillion
