#include "sim/spec/perturbations.h"

#include <algorithm>
#include <cmath>

#include "sim/base/random.h"
#include "sim/spec/problems.h"

namespace trillion {

namespace {
constexpr std::uint64_t kStreamSpread = 0x737072;  // no other draw of a scenario uses it
}

std::vector<std::string> Perturbations::validate(std::int64_t gpus) const {
  Problems p;
  for (std::size_t i = 0; i < slow_gpus.size(); ++i) {
    const std::string at = "slow_gpus[" + std::to_string(i) + "].";
    p.within(at + "gpu", slow_gpus[i].gpu, 0, gpus - 1);
    p.within(at + "slowdown", slow_gpus[i].slowdown, 0.1, 1000.0);
  }
  for (std::size_t i = 0; i < slow_links.size(); ++i) {
    const std::string at = "slow_links[" + std::to_string(i) + "].";
    p.within(at + "gpu", slow_links[i].gpu, 0, gpus - 1);
    p.within(at + "bandwidth", slow_links[i].bandwidth, 0.001, 1.0);
  }
  p.within("gpu_spread", gpu_spread, 0.0, 0.5);
  p.within("kernel_jitter", kernel_jitter, 0.0, 0.5);
  return p.take();
}

GpuCondition condition_of(const Perturbations& p, std::int64_t gpu, std::uint64_t seed) {
  GpuCondition c;
  if (p.gpu_spread > 0) {
    // Cut at three standard deviations: the normal distribution is a model of the middle, and a GPU twice as fast does not exist.
    const double z = std::clamp(Random(seed, kStreamSpread).normal(static_cast<std::uint64_t>(gpu)), -3.0, 3.0);
    // In steps of a thousandth, so that GPUs of one step share their kernels' times.
    c.slowdown = std::max(0.1, std::round((1 + p.gpu_spread * z) * 1000) / 1000);
  }
  for (const SlowGpu& slow : p.slow_gpus) c.slowdown *= slow.gpu == gpu ? slow.slowdown : 1;
  for (const SlowLink& slow : p.slow_links) {
    if (slow.gpu == gpu) (slow.link == PerturbedLink::nic ? c.nic : c.nvlink) *= slow.bandwidth;
  }
  return c;
}

}  // namespace trillion
