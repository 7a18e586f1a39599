#include "sim/workload/device_mesh.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "sim/base/error.h"
#include "sim/net/link_load.h"

namespace trillion {
namespace {

// One factor of a product of sizes, by the plan's key.
struct Factor {
  std::string name;
  std::int64_t size = 1;
};
using Factors = std::vector<Factor>;

// Saturates: sizes come from a user.
std::int64_t product(const Factors& axes) {
  std::int64_t result = 1;
  for (const Factor& axis : axes) {
    if (__builtin_mul_overflow(result, axis.size, &result)) return std::numeric_limits<std::int64_t>::max();
  }
  return result;
}

// "tensor_parallel 8 x pipeline_parallel 16 = 128"
std::string product_text(const Factors& axes) {
  std::string text;
  for (const Factor& axis : axes) text += (text.empty() ? "" : " x ") + axis.name + " " + std::to_string(axis.size);
  return text + " = " + std::to_string(product(axes));
}

// One sentence per axis that alone could be changed so that the product of all is `wanted`.
std::vector<std::string> exact_fits(const Factors& axes, std::int64_t wanted) {
  std::vector<std::string> help;
  for (std::size_t changed = 0; changed < axes.size(); ++changed) {
    Factors others = axes;
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
std::vector<std::string> dividing_fits(const Factors& axes, std::int64_t number) {
  std::vector<std::string> help;
  for (std::size_t changed = 0; changed < axes.size(); ++changed) {
    Factors others = axes;
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

// One axis of a grid.
struct Span {
  std::int64_t size = 1, stride = 1;
};

// Fewest members that a domain which has any holds, over all groups along two axes, counted GPU by GPU.
std::int64_t members_per_domain(const Span& a, const Span& b, const Cluster& cluster) {
  const std::int64_t domain = std::max<std::int64_t>(cluster.scale_up.domain_gpus, 1);
  std::int64_t fewest = a.size * b.size;
  for (std::int64_t base = 0; base < cluster.gpus(); ++base) {
    if (base / a.stride % a.size != 0 || base / b.stride % b.size != 0) continue;  // not a group's first member
    std::map<std::int64_t, std::int64_t> members;
    for (std::int64_t i = 0; i < a.size; ++i) {
      for (std::int64_t j = 0; j < b.size; ++j) ++members[(base + i * a.stride + j * b.stride) / domain];
    }
    for (const auto& [where, count] : members) fewest = std::min(fewest, count);
  }
  return fewest;
}

Group group_of(const Span& s, const Cluster& cluster) { return {s.size, s.stride, members_per_domain(s.size, s.stride, cluster)}; }

// A group along two axes; where they lie next to each other it is one.
Group group_of(Span a, Span b, const Cluster& cluster) {
  if (b.size == 1) return group_of(a, cluster);
  if (a.size == 1) return group_of(b, cluster);
  if (a.stride > b.stride) std::swap(a, b);
  if (b.stride == a.stride * a.size) return group_of({a.size * b.size, a.stride}, cluster);
  return {a.size * b.size, a.stride, members_per_domain(a, b, cluster)};
}

// The axes of one grid, by plan.rank_order; an axis that the grid does not have has size 1.
using Grid = std::array<Span, kRankAxisNames.size()>;

Grid grid_of(const RankOrder& order, const std::array<std::int64_t, kRankAxisNames.size()>& sizes) {
  Grid grid{};
  std::int64_t stride = 1;
  for (const RankAxis axis : order) {
    const auto i = static_cast<std::size_t>(axis);
    grid[i] = {sizes[i], stride};
    stride *= sizes[i];
  }
  return grid;
}

const Span& at(const Grid& grid, RankAxis axis) { return grid[static_cast<std::size_t>(axis)]; }

// REQUIRES: the sizes fit the cluster.
Grid dense_grid(const Plan& plan, std::int64_t gpus) {
  const std::int64_t others = plan.tensor_parallel * plan.context_parallel * plan.pipeline_parallel;
  return grid_of(plan.rank_order, {plan.tensor_parallel, plan.context_parallel, 1, gpus / others, plan.pipeline_parallel});
}

Grid expert_grid(const Plan& plan, std::int64_t gpus) {
  const std::int64_t others = plan.expert_tensor_parallel * plan.expert_parallel * plan.pipeline_parallel;
  return grid_of(plan.rank_order, {plan.expert_tensor_parallel, 1, plan.expert_parallel, gpus / others, plan.pipeline_parallel});
}

// All GPUs of a pipeline stage: two runs of axes, before and after pp.
Group whole_stage(const Grid& dense, const Cluster& cluster) {
  const Span pipeline = at(dense, RankAxis::pipeline);
  const std::int64_t outer = cluster.gpus() / (pipeline.size * pipeline.stride);
  return group_of({pipeline.stride, 1}, {outer, pipeline.size * pipeline.stride}, cluster);
}

// Whether switches can be narrower than the NICs below them. Elsewhere nic_share is 1 and need not be worked out.
bool may_slow_nics(const ScaleOut& out) {
  return out.routing == PathChoice::ecmp || out.oversubscription > 1 || out.core_oversubscription > 1 ||
         out.kind == FabricKind::dragonfly || !out.failures.empty();
}

bool has_experts_apart(const Plan& plan) { return plan.expert_parallel > 1 || plan.expert_tensor_parallel > 1; }

// A GPU must be in the same pipeline stage in both grids.
std::optional<Infeasible> why_grids_disagree(const Plan& plan, std::int64_t gpus) {
  if (plan.pipeline_parallel == 1 || !has_experts_apart(plan)) return std::nullopt;
  const std::int64_t dense = at(dense_grid(plan, gpus), RankAxis::pipeline).stride,
                     expert = at(expert_grid(plan, gpus), RankAxis::pipeline).stride;
  if (dense == expert) return std::nullopt;
  return Infeasible{"plan.rank_order " + to_text(plan.rank_order) + " puts pipeline neighbours " + std::to_string(dense) +
                        " GPUs apart in dense layers and " + std::to_string(expert) + " in expert layers",
                    {"plan.rank_order: tp-cp-ep-dp-pp, or any other order with pp last, would do"}};
}

Factors replica_axes(const Plan& plan) {
  return {{"tensor_parallel", plan.tensor_parallel},
          {"context_parallel", plan.context_parallel},
          {"pipeline_parallel", plan.pipeline_parallel}};
}

Factors expert_axes(const Plan& plan) {
  return {{"expert_tensor_parallel", plan.expert_tensor_parallel}, {"expert_parallel", plan.expert_parallel}};
}

std::optional<Infeasible> why_dense_impossible(const Plan& plan, std::int64_t gpus) {
  Factors axes = replica_axes(plan);
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
  const Factors axes = expert_axes(plan);
  const std::int64_t expert = product(axes);
  if (expert <= stage && stage % expert == 0) return std::nullopt;
  const std::string reason = product_text(axes) + " GPUs of one set of experts, which does not divide the " + std::to_string(stage) +
                             " GPUs of a pipeline stage (tensor x context x data)";
  return Infeasible{reason, dividing_fits(axes, stage)};
}

}  // namespace

DeviceMesh::DeviceMesh(const Plan& plan, const Cluster& cluster) : gpus_(cluster.gpus()) {
  if (const auto why = why_mesh_impossible(plan, cluster)) CHECK(false, why->reason);
  const Grid dense = dense_grid(plan, gpus_), expert = expert_grid(plan, gpus_);
  data_parallel_ = at(dense, RankAxis::data).size;
  tensor_ = group_of(at(dense, RankAxis::tensor), cluster);
  context_ = group_of(at(dense, RankAxis::context), cluster);
  data_ = group_of(at(dense, RankAxis::context), at(dense, RankAxis::data), cluster);
  pipeline_ = group_of(at(dense, RankAxis::pipeline), cluster);
  expert_tensor_ = group_of(at(expert, RankAxis::tensor), cluster);
  expert_ = group_of(at(expert, RankAxis::expert), cluster);
  expert_data_ = group_of(at(expert, RankAxis::data), cluster);
  // Experts that are nowhere apart are replicated over the stage, wherever its GPUs are.
  if (!has_experts_apart(plan)) expert_data_ = whole_stage(dense, cluster);
}

void DeviceMesh::share_network(const Cluster& cluster) {
  if (!may_slow_nics(cluster.scale_out)) return;
  const Fabric fabric = Fabric::build(cluster);
  const auto share = [&](Group& g, TrafficPattern pattern) {
    if (!g.within_node()) g.nic_share = nic_share(fabric, {g.size, g.stride, g.ranks_per_node}, pattern);
  };
  for (Group* g : {&tensor_, &context_, &data_, &pipeline_, &expert_tensor_, &expert_data_}) share(*g, TrafficPattern::neighbours);
  share(expert_, TrafficPattern::everyone);
}

std::optional<Infeasible> why_mesh_impossible(const Plan& plan, const Cluster& cluster) {
  Factors all = replica_axes(plan);
  const Factors expert = expert_axes(plan);
  all.insert(all.end(), expert.begin(), expert.end());
  if (plan.data_parallel) all.push_back({"data_parallel", *plan.data_parallel});
  for (const Factor& axis : all) {
    if (axis.size < 1) return Infeasible{axis.name + " is " + std::to_string(axis.size), {"plan." + axis.name + ": 1 or more"}};
  }
  const std::int64_t gpus = cluster.gpus();
  if (gpus < 1) return Infeasible{"the cluster has no GPU", {}};
  if (auto why = why_dense_impossible(plan, gpus)) return why;
  if (auto why = why_expert_impossible(plan, gpus)) return why;
  return why_grids_disagree(plan, gpus);
}

}  // namespace trillion
