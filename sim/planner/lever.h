// A quantity that a search's answer leans on and that may be otherwise: whose it is, how well it is known, and the scenario in which it is
// another.
//
//   kernel_time      of all kernels that one probe measures together: every GEMM of a data type, attention of some head dimensions,
//                    memory-bound kernels, a kind of collective (times x factor). Interval: the curves' 90 % half-widths, each with its
//                    share of the layouts' kernel time
//   stack            a figure of the calibration's stack (x factor)
//   nvlink, nic      bandwidth of the cluster's links (x factor); network_latency: of a NIC and of a hop
//   price            of a GPU-hour
//   popularity_skew, domain_skew   of the router (training.routing)
//   memory           what a GPU needs, over what we say that it needs
//
// Only what curves are held against has an interval; who else's value is doubted says so by its origin.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/estimate/step_result.h"
#include "sim/spec/scenario.h"

namespace trillion {

enum class LeverKind { kernel_time, stack, nvlink, nic, network_latency, price, popularity_skew, domain_skew, memory };

struct Lever {
  LeverKind kind = LeverKind::kernel_time;
  std::string name;                    // "grouped_gemm fp8_block"; of a stack's figure its key
  std::optional<std::size_t> cluster;  // whose; empty: every cluster's
  Provenance provenance;
  std::optional<double> interval;  // relative half-width, 90 %

  // More of it is less time: bandwidths.
  bool is_rate() const { return kind == LeverKind::nvlink || kind == LeverKind::nic; }
  // A step's time does not depend on it.
  bool leaves_time() const { return kind == LeverKind::price || kind == LeverKind::memory; }
  bool draws_routing() const { return kind == LeverKind::popularity_skew || kind == LeverKind::domain_skew; }
};

// Which kernels a curve stands with: "gemm bf16", "attention bf16 192/128", "memory_bound", "collective all_gather". Of a curve that stands
// for another, "gemm fp8 forward sustained (as gemm bf16 forward sustained)", the other's.
std::string kernel_family(std::string_view curve);

// What one simulated layout leans on: its curves with their residuals.
struct CurveShare {
  CurveInfo curve;
  double share_of_time = 0;
};

// Every lever of a cluster that layouts with these curves could feel.
std::vector<Lever> levers(const Scenario& on, std::optional<std::size_t> cluster, const std::vector<CurveShare>& curves);
// Those that belong to no cluster: the router's.
std::vector<Lever> common_levers(const Scenario& scenario);

// The scenario, on a cluster that the lever concerns, in which it is `factor` times what it is.
Scenario with_lever(const Scenario& on, const Lever& lever, double factor);

}  // namespace trillion
