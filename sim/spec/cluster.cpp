#include "sim/spec/cluster.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "sim/spec/problems.h"

namespace trillion {

namespace {

constexpr std::int64_t kMostNodes = 1 << 20;
constexpr Seconds kMostLatency{1};

void check_rate(std::string_view key, BytesPerSecond rate, Problems& p) { p.between(key, rate, BytesPerSecond{1e3}, BytesPerSecond{1e18}); }

void check_provenance(const char* prefix, const Provenance& provenance, Problems& p) {
  p.require(!provenance.source.empty(), std::string(prefix) + ".source", "must say where the figures come from");
}

void check_gpu(const Gpu& gpu, Problems& p) {
  p.within("gpu.sms", gpu.sms, 1, 1 << 16);
  constexpr FlopsPerSecond kLeastRate{1e9}, kMostRate{1e18};
  p.between("gpu.peak_bf16", gpu.peak_bf16, kLeastRate, kMostRate);
  p.between("gpu.peak_fp8", gpu.peak_fp8, FlopsPerSecond{0}, kMostRate);
  p.between("gpu.peak_fp32", gpu.peak_fp32, kLeastRate, kMostRate);
  const bool memory = p.between("gpu.memory", gpu.memory, Bytes{1e6}, Bytes{1e15});
  if (p.positive("gpu.usable_memory", gpu.usable_memory) && memory) {
    // "80 GB" chips carry up to 80 GiB: the installed figure is the larger reading.
    p.require(gpu.usable_memory <= gpu.memory, "gpu.usable_memory",
              quantity_text(gpu.usable_memory) + " is more than gpu.memory, " + quantity_text(gpu.memory));
  }
  check_rate("gpu.memory_bandwidth", gpu.memory_bandwidth, p);
  p.positive("gpu.l2_cache", gpu.l2_cache);
  p.between("gpu.power_limit", gpu.power_limit, Watts{1}, Watts{1e5});
  check_rate("gpu.host_bandwidth", gpu.host_bandwidth, p);
  check_provenance("gpu", gpu.provenance, p);
}

void check_scale_up(const Cluster& c, bool counted, Problems& p) {
  const ScaleUp& up = c.scale_up;
  if (p.within("scale_up.domain_gpus", up.domain_gpus, 1, kMostNodes) && counted) {
    const bool whole = up.domain_gpus % c.gpus_per_node == 0 || c.gpus_per_node % up.domain_gpus == 0;
    p.require(whole, "scale_up.domain_gpus",
              "must be a multiple or a divisor of gpus_per_node, " + std::to_string(c.gpus_per_node) + ", found " +
                  std::to_string(up.domain_gpus));
  }
  check_rate("scale_up.bandwidth", up.bandwidth, p);
  p.between("scale_up.latency", up.latency, Seconds{0}, kMostLatency);
  check_provenance("scale_up", up.provenance, p);
}

void check_planes(const ScaleOut& out, Problems& p) {
  if (out.kind != FabricKind::multi_plane) {
    p.require(out.planes == 1, "scale_out.planes", "is for kind: multi-plane (rail-only: every rail is a plane)");
    return;
  }
  if (!p.within("scale_out.planes", out.planes, 2, 1 << 10)) return;
  p.require(out.nics_per_node % out.planes == 0, "scale_out.planes",
            std::to_string(out.planes) + " planes do not divide nics_per_node, " + std::to_string(out.nics_per_node));
  p.require(out.rails, "scale_out.rails", "a multi-plane fabric has rails");
}

void check_dragonfly(const ScaleOut& out, Problems& p) {
  if (out.kind != FabricKind::dragonfly) return;
  p.require(!out.rails, "scale_out.rails", "a dragonfly has no rails");
  p.require(out.layers == 1, "scale_out.layers", "a dragonfly has no layers");
  p.require(out.oversubscription == 1, "scale_out.oversubscription", "a dragonfly has none to set; its ports make it");
}

void check_scale_out(const Cluster& c, Problems& p) {
  const ScaleOut& out = c.scale_out;
  if (c.nodes <= 1 && out.nics_per_node == 0) return;  // one node needs no network
  if (p.within("scale_out.nics_per_node", out.nics_per_node, 1, 1 << 10) && out.rails && c.gpus_per_node > 0) {
    const bool even = c.gpus_per_node % out.nics_per_node == 0 || out.nics_per_node % c.gpus_per_node == 0;
    p.require(even, "scale_out.nics_per_node",
              std::to_string(out.nics_per_node) + " NICs do not divide evenly over gpus_per_node, " + std::to_string(c.gpus_per_node));
  }
  check_rate("scale_out.nic_bandwidth", out.nic_bandwidth, p);
  p.within("scale_out.layers", out.layers, 1, 3);
  p.within("scale_out.switch_ports", out.switch_ports, 2, 1 << 16);
  p.within("scale_out.oversubscription", out.oversubscription, 1, 1000);
  p.within("scale_out.core_oversubscription", out.core_oversubscription, 1, 1000);
  p.require(out.core_oversubscription == 1 || out.layers == 3, "scale_out.core_oversubscription", "only three layers have cores");
  check_planes(out, p);
  check_dragonfly(out, p);
  p.between("scale_out.nic_latency", out.nic_latency, Seconds{0}, kMostLatency);
  p.between("scale_out.hop_latency", out.hop_latency, Seconds{0}, kMostLatency);
  p.require(out.kind != FabricKind::rail_only || out.rails, "scale_out.rails", "a rail-only fabric has rails");
  check_provenance("scale_out", out.provenance, p);
}

}  // namespace

namespace {

std::string to_text(const NetworkPart& part) {
  return std::string(kNetworkPartNames[static_cast<std::size_t>(part.kind)]) + " " + std::to_string(part.index);
}

// "leaf 3"
std::optional<NetworkPart> parse_part(std::string_view text) {
  const std::size_t space = text.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const auto name = std::find(kNetworkPartNames.begin(), kNetworkPartNames.end(), text.substr(0, space));
  const std::string_view digits = text.substr(space + 1);
  NetworkPart part{static_cast<NetworkPartKind>(name - kNetworkPartNames.begin()), 0};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), part.index);
  if (name == kNetworkPartNames.end() || error != std::errc{} || end != digits.data() + digits.size() || part.index < 0)
    return std::nullopt;
  return part;
}

}  // namespace

std::string to_text(const Failure& failure) {
  return failure.other ? to_text(failure.part) + " - " + to_text(*failure.other) : to_text(failure.part);
}

std::optional<Failure> parse_failure(std::string_view text) {
  constexpr std::string_view kBetween = " - ";
  const std::size_t between = text.find(kBetween);
  const auto part = parse_part(text.substr(0, between));
  if (!part) return std::nullopt;
  if (between == std::string_view::npos) return Failure{*part, std::nullopt};
  const auto other = parse_part(text.substr(between + kBetween.size()));
  if (!other) return std::nullopt;
  return Failure{*part, other};
}

FlopsPerSecond Gpu::peak(DType dtype) const {
  switch (dtype) {
    case DType::bf16: return peak_bf16;
    case DType::fp8:
    case DType::fp8_block: return peak_fp8;
    case DType::fp32: return peak_fp32;
  }
  return peak_bf16;
}

std::vector<std::string> Cluster::validate() const {
  Problems p;
  p.within("nodes", nodes, 1, kMostNodes);
  const bool some_gpus = p.within("gpus_per_node", gpus_per_node, 1, 1 << 10);
  check_gpu(gpu, p);
  check_scale_up(*this, some_gpus, p);
  check_scale_out(*this, p);
  if (price) {
    p.between("price.per_gpu", price->per_gpu, UsdPerSecond{0}, UsdPerSecond{1});
    check_provenance("price", price->provenance, p);
  }
  if (power) {
    p.not_negative("power.node_other", power->node_other);
    p.within("power.pue", power->pue, 1, 10);
    p.not_negative("power.energy_price", power->energy_price);
    check_provenance("power", power->provenance, p);
  }
  return p.take();
}

}  // namespace trillion
