#include <algorithm>
#include <cmath>

#include "sim/handover/expressed.h"
#include "sim/handover/losses.h"
#include "sim/handover/megatron_words.h"

namespace trillion {
namespace {

using namespace losses;

void lose_schedule(Expressed& e, const Scenario& s) {
  const Plan& p = e.plan;
  if (p.pipeline_parallel == 1) {
    if (p.schedule_file || p.layers_per_stage->size() > 1) {
      change_schedule(e, s, ScheduleKind::one_f_one_b, 1, "no chunks without a pipeline");
    }
    return;
  }
  if (p.schedule_file) {
    return change_schedule(e, s, ScheduleKind::one_f_one_b, 1, "Megatron-LM reads no schedule files");
  }
  const std::string knows = "Megatron-LM knows 1f1b and interleaved-1f1b";
  switch (p.schedule) {
    case ScheduleKind::one_f_one_b:
    case ScheduleKind::interleaved_1f1b: return;
    case ScheduleKind::gpipe:
    case ScheduleKind::zb_h1:
    case ScheduleKind::zb_h2: return change_schedule(e, s, ScheduleKind::one_f_one_b, 1, knows);
    case ScheduleKind::dualpipe:
      return change_schedule(e, s, ScheduleKind::one_f_one_b, 1,
                             knows + "; it hides expert exchanges with --overlap-moe-expert-parallel-comm, which trillion does not model");
    case ScheduleKind::zb_v:
    case ScheduleKind::dualpipe_v: return change_schedule(e, s, ScheduleKind::interleaved_1f1b, 2, knows);
  }
}

void lose_tensor(Expressed& e, const Scenario& s) {
  Plan& p = e.plan;
  if (p.tensor_parallel_overlap == TensorOverlap::none) {
    e.lost.push_back(
        "plan.tensor_parallel_overlap: none -> bulk (Megatron-LM always runs the backward pass's collectives beside its products)");
    p.tensor_parallel_overlap = TensorOverlap::bulk;
  }
  if (s.model.moe && p.tensor_parallel > 1 && !p.sequence_parallel) {
    e.lost.push_back("plan.sequence_parallel: false -> true (Megatron-LM asks for it with experts and tensor parallelism)");
    p.sequence_parallel = true;
  }
  if (!s.model.moe && (p.expert_parallel > 1 || p.expert_tensor_parallel > 1)) {
    e.lost.push_back("plan.expert_parallel: 1 (there are no experts)");
    p.expert_parallel = p.expert_tensor_parallel = 1;
  }
}

void lose_recompute(Expressed& e, const Scenario& s) {
  using enum RecomputeModule;
  Plan& p = e.plan;
  if (p.recomputes(products)) {
    e.lost.push_back("plan.recompute: without products (Megatron-LM drops modules, not operations)");
    p.recompute.erase(std::find(p.recompute.begin(), p.recompute.end(), products));
  }
  if (!p.recomputes(activation)) return;
  p.recompute.erase(std::find(p.recompute.begin(), p.recompute.end(), activation));
  const bool all_experts = s.model.moe && s.model.moe->shared_intermediate_size == 0 &&
                           std::find(s.model.moe_layers.begin(), s.model.moe_layers.end(), false) == s.model.moe_layers.end();
  if (s.model.moe && !p.recomputes(moe)) {
    p.recompute.push_back(moe_activation);
    if (!all_experts) {
      e.lost.push_back("plan.recompute: activation -> moe_activation (Megatron-LM's moe_act drops those of routed experts alone)");
    }
  } else {
    e.lost.push_back("plan.recompute: without activation (Megatron-LM's moe_act is for experts)");
  }
}

void lose_sharding(Expressed& e) {
  Plan& p = e.plan;
  if (p.overlap_parameter_gather && !p.overlap_gradient_reduce) {
    e.lost.push_back("plan.overlap_parameter_gather: true -> false (--overlap-param-gather needs --overlap-grad-reduce)");
    p.overlap_parameter_gather = false;
  }
  if (p.sharding_group && *p.data_parallel % *p.sharding_group != 0) {
    e.lost.push_back("plan.sharding_group: all replicas (--num-distributed-optimizer-instances must divide data_parallel)");
    p.sharding_group.reset();
  }
  if (p.bucket_parameters) p.bucket_parameters = std::floor(*p.bucket_parameters);
}

}  // namespace

Expressed expressed_in_megatron(const Scenario& s) {
  Expressed e{canonical(s), {}};
  lose_schedule(e, s);
  if (e.plan.rank_order != kMegatronOtherOrder) drop_rank_order(e, "Megatron-LM", kMegatronOrder);
  lose_tensor(e, s);
  lose_recompute(e, s);
  lose_sharding(e);
  drop_offload(e, Offload::activations, "--cpu-offloading-num-layers leaves at least one layer on the GPU, and takes no pipeline");
  drop_placement(e, "Megatron-LM");
  Scenario nearest = s;
  nearest.plan = e.plan;
  e.plan = canonical(nearest);
  return e;
}

}  // namespace trillion
