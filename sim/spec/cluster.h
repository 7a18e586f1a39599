// On what it is trained: nodes, GPUs, links, rails, prices, power. No software: achieved rates live in the calibration.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/base/error.h"
#include "sim/base/quantity.h"
#include "sim/spec/kernel.h"
#include "sim/spec/origin.h"

namespace trillion {

// Vendor figures of one GPU. Peaks are dense (no structured sparsity).
struct Gpu {
  std::string name;  // "H800 SXM"
  std::int64_t sms = 0;
  FlopsPerSecond peak_bf16, peak_fp8, peak_fp32;  // peak_fp8 = 0: the chip has no FP8
  Bytes memory;                                   // installed
  Bytes usable_memory;  // what a process can allocate before the driver's own share ("81559 MiB" of an 80 GB H100)
  BytesPerSecond memory_bandwidth;
  Bytes l2_cache;
  Watts power_limit;
  BytesPerSecond host_bandwidth;  // PCIe or C2C, one way
  Provenance provenance;

  FlopsPerSecond peak(DType dtype) const;
};

// NVLink and NVSwitch within a scale-up domain.
struct ScaleUp {
  std::int64_t domain_gpus = 0;  // GPUs that reach each other over it (8 per HGX node, 72 per NVL72 rack)
  BytesPerSecond bandwidth;      // per GPU, one way, vendor figure (half of the "total" that datasheets print)
  Seconds latency;
  Provenance provenance;
};

// Sizes and cabling of each: net/clos.h and net/dragonfly.h.
enum class FabricKind { fat_tree, rail_only, multi_plane, dragonfly };

// Which of several equal paths a flow takes. Adaptive: evenly over all of them, packet by packet (InfiniBand's adaptive routing,
// Ethernet's spraying). ECMP: one of them, by a hash of its ends, for as long as it lasts, whatever else goes there.
enum class PathChoice { adaptive, ecmp };

// A part of the network, numbered as reports number it: "leaf 3". A NIC is one NIC link of a node (net/clos.h).
enum class NetworkPartKind : std::uint8_t { nic, leaf, spine, core, router };
inline constexpr std::array<std::string_view, 5> kNetworkPartNames = {"nic", "leaf", "spine", "core", "router"};
struct NetworkPart {
  NetworkPartKind kind = NetworkPartKind::nic;
  std::int64_t index = 0;
  friend bool operator==(const NetworkPart&, const NetworkPart&) = default;
};

// What is broken: a part with all its links ("spine 7"), or the cables between two parts ("leaf 3 - spine 7").
struct Failure {
  NetworkPart part;
  std::optional<NetworkPart> other = {};
  // Where it was read, for whoever finds that the network has no such part (net/fabric.h); nothing of what it says.
  SourceLocation where = {};
  std::string source_line = {};
  friend bool operator==(const Failure& a, const Failure& b) { return a.part == b.part && a.other == b.other; }
};
std::string to_text(const Failure& failure);
std::optional<Failure> parse_failure(std::string_view text);

// InfiniBand or Ethernet between nodes.
struct ScaleOut {
  std::int64_t nics_per_node = 0;
  BytesPerSecond nic_bandwidth;  // one way, per NIC
  FabricKind kind = FabricKind::fat_tree;
  bool rails = true;        // NIC r of every node hangs on rail r's switches
  std::int64_t layers = 2;  // of switches
  std::int64_t switch_ports = 64;
  std::int64_t planes = 1;           // multi-plane: trees side by side; NIC r of a node is on plane r mod planes
  double oversubscription = 1;       // leaf down-bandwidth over leaf up-bandwidth; 1: full bisection
  double core_oversubscription = 1;  // the same of a spine, three layers
  PathChoice routing = PathChoice::adaptive;
  std::uint64_t routing_seed = 1;  // of ECMP's hash
  std::vector<Failure> failures;
  Seconds nic_latency;  // end to end within one leaf
  Seconds hop_latency;  // one more switch
  Provenance provenance;
};

struct Power {
  Watts node_other;  // CPUs, memory, NICs, fans of one node, under load
  double pue = 1;    // facility power over IT power
  UsdPerJoule energy_price;
  Provenance provenance;
};

struct Price {
  UsdPerSecond per_gpu;
  Provenance provenance;
};

struct Cluster {
  std::string name;
  std::int64_t nodes = 0;
  std::int64_t gpus_per_node = 0;
  Gpu gpu;
  ScaleUp scale_up;
  ScaleOut scale_out;
  std::optional<Price> price;
  std::optional<Power> power;

  std::int64_t gpus() const { return nodes * gpus_per_node; }
  std::vector<std::string> validate() const;
};

}  // namespace trillion
