#include "sim/workload/device_mesh.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "sim/base/error.h"

namespace trillion {
namespace {

// One factor of a product of sizes, by the plan's key.
struct Axis {
  std::string name;
  std::int64_t size = 1;
};
using Axes = std::vector<Axis>;

// Saturates: sizes come from a user.
std::int64_t product(const Axes& axes) {
  std::int64_t result = 1;
  for (const Axis& axis : axes) {
    if (__builtin_mul_overflow(result, axis.size, &result)) return std::numeric_limits<std::int64_t>::max();
  }
  return result;
}

// "tensor_parallel 8 x pipeline_parallel 16 = 128"
std::string product_text(const Axes& axes) {
  std::string text;
  for (const Axis& axis : axes) text += (text.empty() ? "" : " x ") + axis.name + " " + std::to_string(axis.size);
  return text + " = " + std::to_string(product(axes));
}

// One sentence per axis that alone could be changed so that the product of all is `wanted`.
std::vector<std::string> exact_fits(const Axes& axes, std::int64_t wanted) {
  std::vector<std::string> help;
  for (std::size_t changed = 0; changed < axes.size(); ++changed) {
    Axes others = axes;
    others[changed].size = 1;
    const std::int64_t rest = product(others);
    if (rest > wanted || wanted % rest != 0) continue;
    help.push_back("plan." + axes[changed].name + ": " + std::to_string(wanted / rest) + " would fit");
  }
  return help;
}

// Divisors of `number` next to `near`: the largest below and the smallest above, neither `near` itself.
std::vector<std::int64_t> divisors_around(std::int64_t number, std::int64_t near) {
  std::int64_t below = 0, above = 0;
  const auto consider = [&](std::int64_t divisor) {
    if (divisor < near) below = std::max(below, divisor);
    if (divisor > near && (above == 0 || divisor < above)) above = divisor;
  };
  for (std::int64_t d = 1; d <= number / d; ++d) {
    if (number % d != 0) continue;
    consider(d);
    consider(number / d);
  }
  std::vector<std::int64_t> found;
  if (below > 0) found.push_back(below);
  if (above > 0) found.push_back(above);
  return found;
}

// The same where the product only has to divide `number`.
std::vector<std::string> dividing_fits(const Axes& axes, std::int64_t number) {
  std::vector<std::string> help;
  for (std::size_t changed = 0; changed < axes.size(); ++changed) {
    Axes others = axes;
    others[changed].size = 1;
    const std::int64_t rest = product(others);
    if (rest > number || number % rest != 0) continue;
    std::string values;
    for (const std::int64_t size : divisors_around(number / rest, axes[changed].size)) {
      values += (values.empty() ? "" : " or ") + std::to_string(size);
    }
    if (!values.empty()) help.push_back("plan." + axes[changed].name + ": " + values + " would fit");
  }
  return help;
}

// Fewest members that a scale-up domain which has any holds, over all groups with this stride: what a hierarchical collective
// can count on. Domains are whole runs of `domain` GPUs; where group and domain boundaries coincide all hold the same number.
std::int64_t members_per_domain(std::int64_t size, std::int64_t stride, const Cluster& cluster) {
  const std::int64_t domain = std::max<std::int64_t>(cluster.scale_up.domain_gpus, 1);
  if (size == 1 || stride >= domain) return 1;
  const std::int64_t block = size * stride;
  if (domain % block == 0) return size;
  if (domain % stride == 0 && block % domain == 0) return domain / stride;
  // Boundaries cut through groups: look at every group, up to where the pattern repeats.
  std::int64_t fewest = size;
  const std::int64_t period = std::min(std::lcm(block, domain), cluster.gpus());
  for (std::int64_t base = 0; base < period; base += block) {
    for (std::int64_t offset = 0; offset < stride; ++offset) {
      std::int64_t here = 0, current = -1;
      for (std::int64_t member = 0; member < size; ++member) {
        const std::int64_t its_domain = (base + offset + member * stride) / domain;
        if (its_domain != current && current >= 0) fewest = std::min(fewest, here);
        here = its_domain == current ? here + 1 : 1;
        current = its_domain;
      }
      fewest = std::min(fewest, here);
    }
  }
  return fewest;
}

Axes replica_axes(const Plan& plan) {
  return {{"tensor_parallel", plan.tensor_parallel},
          {"context_parallel", plan.context_parallel},
          {"pipeline_parallel", plan.pipeline_parallel}};
}

Axes expert_axes(const Plan& plan) {
  return {{"expert_tensor_parallel", plan.expert_tensor_parallel}, {"expert_parallel", plan.expert_parallel}};
}

std::optional<Infeasible> why_dense_impossible(const Plan& plan, std::int64_t gpus) {
  Axes axes = replica_axes(plan);
  if (plan.data_parallel) {
    axes.push_back({"data_parallel", *plan.data_parallel});
    if (product(axes) == gpus) return std::nullopt;
    return Infeasible{product_text(axes) + " GPUs, the cluster has " + std::to_string(gpus), exact_fits(axes, gpus)};
  }
  const std::int64_t replica = product(axes);
  if (replica <= gpus && gpus % replica == 0) return std::nullopt;
  const std::string problem = replica > gpus ? ", the cluster has " : ", which does not divide the cluster's ";
  return Infeasible{product_text(axes) + " GPUs of one replica" + problem + std::to_string(gpus), dividing_fits(axes, gpus)};
}

std::optional<Infeasible> why_expert_impossible(const Plan& plan, std::int64_t gpus) {
  const std::int64_t stage = gpus / plan.pipeline_parallel;
  const Axes axes = expert_axes(plan);
  const std::int64_t expert = product(axes);
  if (expert <= stage && stage % expert == 0) return std::nullopt;
  const std::string reason = product_text(axes) + " GPUs of one set of experts, which does not divide the " + std::to_string(stage) +
                             " GPUs of a pipeline stage (tensor x context x data)";
  return Infeasible{reason, dividing_fits(axes, stage)};
}

}  // namespace

DeviceMesh::DeviceMesh(const Plan& plan, const Cluster& cluster) : gpus_(cluster.gpus()) {
  if (const auto why = why_mesh_impossible(plan, cluster)) CHECK(false, why->reason);
  const auto group = [&](std::int64_t size, std::int64_t stride) { return Group{size, stride, members_per_domain(size, stride, cluster)}; };
  const std::int64_t stage = gpus_ / plan.pipeline_parallel;
  data_parallel_ = stage / (plan.tensor_parallel * plan.context_parallel);
  tensor_ = group(plan.tensor_parallel, 1);
  context_ = group(plan.context_parallel, plan.tensor_parallel);
  data_ = group(plan.context_parallel * data_parallel_, plan.tensor_parallel);
  pipeline_ = group(plan.pipeline_parallel, stage);
  const std::int64_t expert_set = plan.expert_tensor_parallel * plan.expert_parallel;
  expert_tensor_ = group(plan.expert_tensor_parallel, 1);
  expert_ = group(plan.expert_parallel, plan.expert_tensor_parallel);
  expert_data_ = group(stage / expert_set, expert_set);
}

std::optional<Infeasible> why_mesh_impossible(const Plan& plan, const Cluster& cluster) {
  Axes all = replica_axes(plan);
  const Axes expert = expert_axes(plan);
  all.insert(all.end(), expert.begin(), expert.end());
  if (plan.data_parallel) all.push_back({"data_parallel", *plan.data_parallel});
  for (const Axis& axis : all) {
    if (axis.size < 1) return Infeasible{axis.name + " is " + std::to_string(axis.size), {"plan." + axis.name + ": 1 or more"}};
  }
  const std::int64_t gpus = cluster.gpus();
  if (gpus < 1) return Infeasible{"the cluster has no GPU", {}};
  if (auto why = why_dense_impossible(plan, gpus)) return why;
  return why_expert_impossible(plan, gpus);
}

}  // namespace trillion
