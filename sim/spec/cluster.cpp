#include "sim/spec/cluster.h"

#include <iterator>

#include "sim/spec/problems.h"

namespace trillion {

namespace {

constexpr std::int64_t kMostNodes = 1 << 20;

void check_provenance(const char* prefix, const Provenance& provenance, Problems& p) {
  p.require(!provenance.source.empty(), std::string(prefix) + ".source", "must say where the figures come from");
}

void check_gpu(const Gpu& gpu, Problems& p) {
  p.within("gpu.sms", gpu.sms, 1, 1 << 16);
  p.positive("gpu.peak_bf16", gpu.peak_bf16);
  p.not_negative("gpu.peak_fp8", gpu.peak_fp8);
  p.positive("gpu.peak_fp32", gpu.peak_fp32);
  const bool memory = p.positive("gpu.memory", gpu.memory);
  if (p.positive("gpu.usable_memory", gpu.usable_memory) && memory) {
    // "80 GB" chips carry up to 80 GiB: the installed figure is the larger reading.
    p.require(gpu.usable_memory <= gpu.memory, "gpu.usable_memory",
              quantity_text(gpu.usable_memory) + " is more than gpu.memory, " + quantity_text(gpu.memory));
  }
  p.positive("gpu.memory_bandwidth", gpu.memory_bandwidth);
  p.positive("gpu.l2_cache", gpu.l2_cache);
  p.positive("gpu.power_limit", gpu.power_limit);
  p.positive("gpu.host_bandwidth", gpu.host_bandwidth);
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
  p.positive("scale_up.bandwidth", up.bandwidth);
  p.not_negative("scale_up.latency", up.latency);
  check_provenance("scale_up", up.provenance, p);
}

void check_scale_out(const Cluster& c, Problems& p) {
  const ScaleOut& out = c.scale_out;
  if (c.nodes <= 1 && out.nics_per_node == 0) return;  // one node needs no network
  if (p.within("scale_out.nics_per_node", out.nics_per_node, 1, 1 << 10) && out.rails && c.gpus_per_node > 0) {
    const bool even = c.gpus_per_node % out.nics_per_node == 0 || out.nics_per_node % c.gpus_per_node == 0;
    p.require(even, "scale_out.nics_per_node",
              std::to_string(out.nics_per_node) + " NICs do not divide evenly over gpus_per_node, " + std::to_string(c.gpus_per_node));
  }
  p.positive("scale_out.nic_bandwidth", out.nic_bandwidth);
  p.within("scale_out.layers", out.layers, 1, 3);
  p.within("scale_out.switch_ports", out.switch_ports, 2, 1 << 16);
  p.within("scale_out.oversubscription", out.oversubscription, 1, 1000);
  p.not_negative("scale_out.nic_latency", out.nic_latency);
  p.not_negative("scale_out.hop_latency", out.hop_latency);
  p.require(out.kind != FabricKind::rail_only || out.rails, "scale_out.rails", "a rail-only fabric has rails");
  check_provenance("scale_out", out.provenance, p);
}

}  // namespace

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
    p.not_negative("price.per_gpu", price->per_gpu);
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
