// A cluster as links: which ones there are, how fast, and which of them lie between two GPUs.
//
//   nvlink   GPU g -> its NVSwitches, and back            scale_up.bandwidth
//   nic      NIC of a GPU -> its leaf switch, and back     nic_bandwidth x NICs in the link
//   leaf     leaf -> spine, and back                       nic_bandwidth x cables
//   spine    spine -> core, and back                       nic_bandwidth x cables
//
// Links have one direction: each of the above is two. All links of a kind are alike. Sizes and cabling: net/clos.h.
//
// Routes cross as few network switches as possible, then as few links: NVLink within a scale-up domain; else NIC to NIC if they
// share a leaf; to another rail by NVLink to the GPU of the own node that is on the destination's rail, then along the rail
// (what NCCL calls PXN), if that saves a switch; else up and down the tree. Which of the equal spines and cores is taken is the
// caller's choice, a hash.
//
//   latency = scale_up.latency (if NVLink is used) + nic_latency + hop_latency x (network switches - 1)
//
// Example: 256 nodes of 8 GPUs, 8 rails, 64 ports, two layers -> 64 leaves, 32 spines, 2 x 2048 links of each kind but spine.
//
// Where two GPUs stand to each other leaves only 16 cases; the shortest path of each is searched once (Boost.Graph) and the rest
// is arithmetic: building and asking cost microseconds, whatever the size.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/net/clos.h"
#include "sim/spec/cluster.h"

namespace trillion {

enum class LinkKind : std::uint8_t { nvlink, nic, leaf, spine };
inline constexpr std::array<std::string_view, 4> kLinkKindNames = {"nvlink", "nic", "leaf", "spine"};

// Where links begin and end. A NIC link begins or ends at the GPU that uses it in nature, at `nic` here, since GPUs may share it.
enum class PointKind : std::uint8_t { gpu, nvswitch, nic, leaf, spine, core };
struct Point {
  PointKind kind = PointKind::gpu;
  std::uint32_t index = 0;
  friend auto operator<=>(const Point&, const Point&) = default;
};

struct FabricLink {
  LinkKind kind = LinkKind::nvlink;
  Point from, to;
  BytesPerSecond capacity;
};

// All links of one kind; count is 0 where the cluster has none.
struct LinkClass {
  std::uint32_t count = 0;  // both directions
  BytesPerSecond capacity;  // of each
};

// What lies between two GPUs, in the order of travel.
struct Route {
  static constexpr std::size_t kMostLinks = 8;
  std::array<std::uint32_t, kMostLinks> link_at{};
  std::uint32_t count = 0;
  Seconds latency;
  BytesPerSecond bandwidth;           // of the narrowest link, for a flow alone; infinite from a GPU to itself
  std::int64_t network_switches = 0;  // leaf, spine, core

  std::span<const std::uint32_t> links() const { return {link_at.data(), count}; }
};

class Fabric {
 public:
  // Why the cluster does not fit its switches; empty when it does. REQUIRES: cluster.validate() is empty.
  static std::vector<std::string> misfits(const Cluster& cluster);

  // Throws InputError with the misfits. REQUIRES: cluster.validate() is empty.
  static Fabric build(const Cluster& cluster);

  std::int64_t gpus() const { return gpus_; }
  const Clos& clos() const { return clos_; }

  std::uint32_t link_count() const { return blocks_.back().begin; }
  FabricLink link(std::uint32_t id) const;
  std::string link_name(std::uint32_t id) const;  // "nic 17 -> leaf 9"
  LinkClass links_of(LinkKind kind) const;

  // REQUIRES: 0 <= a, b < gpus(). `choice` picks among equal spines and cores; the same choice, the same route.
  Route route(std::int64_t a, std::int64_t b, std::uint64_t choice = 0) const;
  Seconds latency(std::int64_t a, std::int64_t b) const { return route(a, b).latency; }
  BytesPerSecond path_bandwidth(std::int64_t a, std::int64_t b) const { return route(a, b).bandwidth; }

 private:
  // The lowest layer of switches that two NICs share.
  enum class Meet : std::uint8_t { leaf, spine, core, never };
  static constexpr std::size_t kMeets = 4;

  // How all pairs of GPUs travel whose NICs meet at one layer directly, and at another after NVLink to the right rail.
  struct PathClass {
    bool relay = false;  // NVLink to the rail of the destination first
    Meet meet = Meet::never;
  };

  // Links of one kind and direction are numbered in a row.
  enum Block : std::uint8_t { nvlink_up, nvlink_down, nic_up, nic_down, leaf_up, leaf_down, spine_up, spine_down, block_end };
  struct BlockRow {
    std::uint32_t begin = 0;
    BytesPerSecond capacity;
  };

  Fabric(const Cluster& cluster, const Clos& clos);
  void number_links(const Cluster& cluster);
  static PathClass shortest(Meet direct, Meet relayed);

  std::int64_t domain_of(std::int64_t gpu) const { return gpu / domain_gpus_; }
  std::int64_t nic_of(std::int64_t gpu) const;
  std::int64_t leaf_of_nic(std::int64_t nic) const;
  std::int64_t pod_of_leaf(std::int64_t leaf) const;
  std::int64_t relay_for(std::int64_t a, std::int64_t b) const;  // the GPU of a's node in b's place
  Meet meet(std::int64_t nic_a, std::int64_t nic_b) const;
  PathClass class_of(std::int64_t a, std::int64_t b) const;
  void append(Route& route, Block block, std::int64_t index) const;
  void append_network(Route& route, std::int64_t nic_a, std::int64_t nic_b, std::uint64_t choice) const;
  std::pair<Point, Point> ends_of_upward(Block block, std::uint32_t index) const;

  std::int64_t gpus_ = 0, gpus_per_node_ = 1, domain_gpus_ = 1, nics_ = 0;
  Clos clos_;
  Seconds nvlink_latency_, nic_latency_, hop_latency_;
  std::array<BlockRow, block_end + 1> blocks_{};
  std::array<PathClass, kMeets * kMeets> classes_{};
};

}  // namespace trillion
