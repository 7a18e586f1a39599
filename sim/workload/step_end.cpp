#include "sim/workload/step_end.h"

#include <algorithm>

#include "sim/workload/linear.h"

namespace trillion {

namespace {

std::optional<Operation> collective(const char* label, Category category, Lane lane, CollectiveKind kind, Bytes bytes, const Group& group) {
  if (group.size == 1 || bytes.value() == 0) return std::nullopt;
  return Operation{label, category, lane,
                   Collective{.kind = kind,
                              .bytes = bytes,
                              .ranks = group.size,
                              .ranks_per_node = group.ranks_per_node,
                              .scale_up_bytes = {},
                              .nic_share = group.nic_share}};
}

Group copied(Group group, std::int64_t copies) {
  // The other copy of a stage lives half a cluster away: it adds members, none of them on the same node.
  group.size *= copies;
  return group;
}

}  // namespace

GradientGroups gradient_groups(const DeviceMesh& mesh, std::int64_t copies, const Plan& plan) {
  const std::int64_t parts = plan.sharding_group ? mesh.data().size / *plan.sharding_group : 1;
  const auto shards = [&](Group g) {
    g.size /= parts;
    g.ranks_per_node = std::min(g.ranks_per_node, g.size);
    return copied(g, copies);
  };
  // Neighbours lie a whole group of shards apart.
  const auto across = [&](const Group& g) {
    const std::int64_t shard = g.size / parts;
    return Group{parts, g.stride * shard, std::max<std::int64_t>(1, g.ranks_per_node / shard), g.nic_share};
  };
  return {shards(mesh.data()), shards(mesh.expert_data()), across(mesh.data()), across(mesh.expert_data())};
}

BlockReduction gradient_reduction(const BlockParameters& p, const GradientGroups& groups, const Plan& plan, const Training& training) {
  const CollectiveKind kind = plan.sharding == Sharding::none ? CollectiveKind::all_reduce : CollectiveKind::reduce_scatter;
  const Bytes each{static_cast<double>(training.optimizer_state.gradient_reduce_bytes)};
  const auto reduce = [&](const char* label, CollectiveKind what, double parameters, const Group& group) {
    return collective(label, Category::gradient_reduce, Lane::reduce, what, each * parameters, group);
  };
  const double dense_shard = p.dense / static_cast<double>(groups.dense.size),
               expert_shard = p.expert / static_cast<double>(groups.expert.size);
  return {reduce("reduce gradients", kind, p.dense, groups.dense), reduce("reduce expert gradients", kind, p.expert, groups.expert),
          reduce("reduce gradients over copies", CollectiveKind::all_reduce, dense_shard, groups.dense_copies),
          reduce("reduce expert gradients over copies", CollectiveKind::all_reduce, expert_shard, groups.expert_copies),
          reduce("sum gradients of replicas", CollectiveKind::all_reduce, p.replicated, groups.replicas)};
}

double bucket_parameters(const Plan& plan, const Group& group) {
  return plan.bucket_parameters.value_or(std::max(40e6, 1e6 * static_cast<double>(group.size)));
}

BlockReduction parameter_gather(const BlockParameters& p, const GradientGroups& groups, const Plan& plan) {
  if (plan.sharding == Sharding::none) return {};
  const Bytes each{2};
  return {
      collective("gather parameters", Category::parameter_gather, Lane::gather, CollectiveKind::all_gather, each * p.dense, groups.dense),
      collective("gather expert parameters", Category::parameter_gather, Lane::gather, CollectiveKind::all_gather, each * p.expert,
                 groups.expert)};
}

ShardCopies shard_copies(const BlockParameters& p, const GradientGroups& groups, const Scenario& scenario) {
  if (scenario.plan.sharding != Sharding::zero_3 || scenario.calibration.stack.framework.value == Framework::fused) return {};
  const double shared = (groups.dense.size > 1 ? p.dense : 0) + (groups.expert.size > 1 ? p.expert : 0);
  if (shared == 0) return {};
  const auto reduced = static_cast<double>(scenario.training.optimizer_state.gradient_reduce_bytes);
  const auto copy = [&](const char* label, MemoryKernel kernel, double written) {
    return memory_operation(label, Category::norm_and_elementwise, kernel, Bytes{2 * shared}, Bytes{written * shared});
  };
  return {copy("take gathered parameters apart", MemoryKernel::copy, 2),
          copy("cut gradients into chunks", reduced == 4 ? MemoryKernel::torch_cast_fp32 : MemoryKernel::copy, reduced)};
}

double optimizer_shard(const BlockParameters& p, const GradientGroups& groups, const Plan& plan) {
  if (plan.sharding == Sharding::none) return p.total();
  return p.dense / static_cast<double>(groups.dense.size) + p.expert / static_cast<double>(groups.expert.size);
}

namespace {

// Reads parameter, gradient and both moments, writes all but the gradient.
Operation torch_update(double parameters, const OptimizerState& state) {
  const bool wide = state.master_weight_bytes > 0;
  const double bytes = wide ? 4 : 2;
  return memory_operation("AdamW", Category::optimizer, wide ? MemoryKernel::torch_adamw_fused_fp32 : MemoryKernel::torch_adamw_fused_bf16,
                          Bytes{4 * bytes * parameters}, Bytes{3 * bytes * parameters});
}

}  // namespace

namespace {

Operation pass_over(const char* label, MemoryKernel kernel, double read, double written) {
  return memory_operation(label, Category::optimizer, kernel, Bytes{read}, Bytes{written});
}

void add_passes_apart(OptimizerKernels& k, const HeldParameters& held, const Scenario& scenario) {
  const Stack& stack = scenario.calibration.stack;
  const double gradient = static_cast<double>(scenario.training.optimizer_state.gradient_bytes);
  if (stack.runs_apart(UnfusedPart::optimizer)) {
    k.before.push_back(pass_over("zero gradients", MemoryKernel::zero, 0, gradient * held.whole));
    const std::int64_t model_parallel = scenario.plan.tensor_parallel * scenario.plan.context_parallel * scenario.plan.pipeline_parallel;
    if (model_parallel < scenario.cluster.gpus())
      k.before.push_back(pass_over("divide gradients", MemoryKernel::copy, gradient * held.whole, gradient * held.whole));
    k.after.push_back(pass_over("copy parameters", MemoryKernel::cast_bf16, 4 * held.shard, 2 * held.shard));
  }
  if (stack.runs_apart(UnfusedPart::loss_scaling)) {
    if (gradient < 4) k.before.push_back(pass_over("gradients to FP32", MemoryKernel::cast_fp32, gradient * held.shard, 4 * held.shard));
    k.before.push_back(pass_over("unscale gradients", MemoryKernel::copy, 4 * held.shard, 4 * held.shard));
  }
}

}  // namespace

OptimizerKernels optimizer_kernels(const HeldParameters& held, const Group& world, const Scenario& scenario) {
  const Plan& plan = scenario.plan;
  const OptimizerState& state = scenario.training.optimizer_state;
  if (scenario.calibration.stack.framework.value != Framework::fused) return {{}, {}, torch_update(held.shard, state), {}};
  const double gradient = static_cast<double>(state.gradient_bytes);
  const double kept = static_cast<double>(state.master_weight_bytes + 2 * state.moment_bytes);
  OptimizerKernels k{
      memory_operation("gradient norm", Category::optimizer, MemoryKernel::gradient_norm, Bytes{gradient * held.shard}, Bytes{4}),
      Operation{"exchange gradient norm", Category::gradient_reduce, Lane::reduce,
                Collective{.kind = CollectiveKind::all_reduce,
                           .bytes = Bytes{4},
                           .ranks = world.size,
                           .ranks_per_node = world.ranks_per_node,
                           .scale_up_bytes = {},
                           .nic_share = world.nic_share}},
      // Reads gradient, master weight and moments; writes the last two back and the working copy in BF16.
      memory_operation("optimizer update", Category::optimizer, MemoryKernel::adam, Bytes{(gradient + kept) * held.shard},
                       Bytes{(kept + 2) * held.shard}),
      std::nullopt};
  k.gradient_norm->host_waits = true;  // its value is logged, and says whether to clip; only where the host issues kernels at all
  add_passes_apart(k, held, scenario);
  if (plan.precision == Precision::fp8) {
    k.quantise = cast_operation("quantise weights", held.whole);
    k.quantise->category = Category::optimizer;
  }
  return k;
}

bool reduces_every_micro_batch(const Plan& plan) {
  return plan.pipeline_parallel == 1 && (plan.sharding == Sharding::zero_2 || plan.sharding == Sharding::zero_3);
}

}  // namespace trillion
