#include <algorithm>

#include "sim/handover/expressed.h"
#include "sim/handover/losses.h"

namespace trillion {
namespace {

using namespace losses;

void lose_schedule(Expressed& e, const Scenario& s) {
  Plan& p = e.plan;
  if (p.pipeline_parallel == 1) {
    if (p.layers_per_stage->size() > 1) change_schedule(e, s, ScheduleKind::one_f_one_b, 1, "no chunks without a pipeline");
    return;
  }
  if (p.schedule_file) return;  // PyTorch's own grammar
  if (p.schedule == ScheduleKind::zb_h1 || p.schedule == ScheduleKind::zb_h2) {
    change_schedule(e, s, ScheduleKind::one_f_one_b, 1,
                    "PyTorch's zero-bubble schedules are InterleavedZeroBubble, ZBVZeroBubble and DualPipeV");
  } else if (p.schedule == ScheduleKind::dualpipe) {
    change_schedule(e, s, ScheduleKind::dualpipe_v, 1, "PyTorch knows DualPipeV");
  }
}

void lose_sharding(Expressed& e) {
  Plan& p = e.plan;
  if (p.sharding == Sharding::zero_1) {
    e.lost.push_back("plan.sharding: zero-1 -> zero-2 (FSDP shards gradients as well)");
    p.sharding = Sharding::zero_2;
  }
  if (!p.overlap_gradient_reduce) {
    e.lost.push_back("plan.overlap_gradient_reduce: false -> true (FSDP and DDP reduce beside the backward pass)");
    p.overlap_gradient_reduce = true;
  }
  if (p.sharding == Sharding::zero_2 && !p.overlap_parameter_gather) {
    e.lost.push_back("plan.overlap_parameter_gather: false -> true (FSDP gathers a layer's parameters beside the layer before it)");
    p.overlap_parameter_gather = true;
  }
  if (p.sharding_group && *p.data_parallel % *p.sharding_group != 0) {
    e.lost.push_back("plan.sharding_group: all replicas (it must divide data_parallel)");
    p.sharding_group.reset();
  }
  if (p.bucket_parameters) {
    e.lost.push_back("plan.bucket_parameters: left open (FSDP moves a layer at a time)");
    p.bucket_parameters.reset();
  }
}

void lose_axes(Expressed& e) {
  Plan& p = e.plan;
  if (p.tensor_parallel > 1 && p.tensor_parallel_overlap == TensorOverlap::bulk) {
    e.lost.push_back(
        "plan.tensor_parallel_overlap: bulk -> none (torchtitan's collectives run alone, or in pieces with async tensor parallelism)");
    p.tensor_parallel_overlap = TensorOverlap::none;
  }
  if (p.context_parallel > 1 && p.context_parallel_method != ContextParallelMethod::all_gather) {
    const auto name = kContextParallelMethodNames[static_cast<std::size_t>(p.context_parallel_method)];
    e.lost.push_back("plan.context_parallel_method: " + std::string(name) + " -> all_gather (torchtitan gathers keys and values)");
    p.context_parallel_method = ContextParallelMethod::all_gather;
  }
  if (p.expert_tensor_parallel > 1) {
    e.lost.push_back("plan.expert_tensor_parallel: " + std::to_string(p.expert_tensor_parallel) +
                     " -> 1 (torchtitan has no such degree any more)");
    p.expert_tensor_parallel = 1;
  }
}

void lose_recompute(Expressed& e) {
  using enum RecomputeModule;
  Plan& p = e.plan;
  if (p.recomputes(layer)) {
    if (p.recomputed_layers == RecomputedLayers{}) return;
    e.lost.push_back("plan.recompute_method, plan.recompute_num_layers: every layer by itself (FullAC)");
    p.recomputed_layers = {};
    return;
  }
  // `products` is SelectiveAC itself, where the simulated stack is PyTorch's.
  const std::vector<RecomputeModule> selective = {norm, activation}, by_operation = {products};
  if (p.recompute.empty() || p.recompute == selective || p.recompute == by_operation) return;
  std::string modules;
  for (const RecomputeModule m : p.recompute)
    modules += (modules.empty() ? "" : "+") + std::string(kRecomputeModuleNames[static_cast<std::size_t>(m)]);
  e.lost.push_back("plan.recompute: " + modules +
                   " -> norm+activation (SelectiveAC keeps products and attention, by operation and not by module)");
  p.recompute = selective;
}

}  // namespace

Expressed expressed_in_torchtitan(const Scenario& s) {
  Expressed e{canonical(s), {}};
  lose_schedule(e, s);
  drop_rank_order(e, "torchtitan", kMegatronOrder);
  lose_axes(e);
  lose_sharding(e);
  lose_recompute(e);
  drop_offload(e, Offload::optimizer, "training.enable_cpu_offload moves parameters and gradients as well");
  drop_offload(e, Offload::activations, "torchtitan keeps activations on the GPU");
  drop_placement(e, "torchtitan");
  return e;
}

}  // namespace trillion
