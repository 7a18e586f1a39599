// What is not as it should be on this cluster: the simulated step then takes as long as its slowest parts make it take.
//
//   perturbations:
//     slow_gpus:  [{gpu: 17, slowdown: 1.2}]              # its kernels take 1.2 times as long
//     slow_links: [{gpu: 17, link: nic, bandwidth: 0.5}]  # half of what the cluster's file says
//     gpu_spread: 0.01                                    # standard deviation of the GPUs' speeds
//     kernel_jitter: 0.05                                 # standard deviation of one kernel's time, launch by launch
//
// Ratios to the undisturbed time or bandwidth. Draws depend on the scenario's seed alone.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace trillion {

struct SlowGpu {
  std::int64_t gpu = 0;  // in the cluster, from 0
  double slowdown = 1;
};

enum class PerturbedLink { nvlink, nic };
inline constexpr std::array<std::string_view, 2> kPerturbedLinkNames = {"nvlink", "nic"};

struct SlowLink {
  std::int64_t gpu = 0;  // whose NVLink port, or whose share of the node's NICs
  PerturbedLink link = PerturbedLink::nic;
  double bandwidth = 1;  // share that is left
};

struct Perturbations {
  std::vector<SlowGpu> slow_gpus;
  std::vector<SlowLink> slow_links;
  double gpu_spread = 0;
  double kernel_jitter = 0;

  bool none() const { return slow_gpus.empty() && slow_links.empty() && gpu_spread == 0 && kernel_jitter == 0; }
  std::vector<std::string> validate(std::int64_t gpus) const;
};

// How one GPU differs from what the calibration says. Several entries for one GPU multiply.
struct GpuCondition {
  double slowdown = 1, nvlink = 1, nic = 1;  // time, share of bandwidth
  friend auto operator<=>(const GpuCondition&, const GpuCondition&) = default;
};
GpuCondition condition_of(const Perturbations& perturbations, std::int64_t gpu, std::uint64_t seed);

}  // namespace trillion
