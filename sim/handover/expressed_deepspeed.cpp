#include <algorithm>

#include "sim/handover/expressed.h"
#include "sim/handover/losses.h"

namespace trillion {
namespace {

using namespace losses;

void lose_schedule(Expressed& e, const Scenario& s) {
  Plan& p = e.plan;
  const bool one_f_one_b = p.schedule == ScheduleKind::one_f_one_b && !p.schedule_file;
  if (!one_f_one_b || (p.pipeline_parallel == 1 && p.layers_per_stage->size() > 1)) {
    change_schedule(e, s, ScheduleKind::one_f_one_b, 1, "DeepSpeed's PipelineModule runs 1f1b");
  }
  const std::vector<std::int64_t> even = even_split(s.model.num_hidden_layers, p.pipeline_parallel);
  if (p.pipeline_parallel > 1 && *p.layers_per_stage != even) {
    e.lost.push_back("plan.layers_per_stage: evenly (PipelineModule's partition_method takes no list)");
    p.layers_per_stage = even;
  }
}

void lose_axes(Expressed& e) {
  Plan& p = e.plan;
  if (p.tensor_parallel > 1) {
    if (p.tensor_parallel_overlap == TensorOverlap::pipelined) {
      e.lost.push_back("plan.tensor_parallel_overlap: pipelined -> bulk (AutoTP overlaps the backward pass alone)");
      p.tensor_parallel_overlap = TensorOverlap::bulk;
    }
    if (p.sequence_parallel) {
      e.lost.push_back("plan.sequence_parallel: true -> false (AutoTP reduces whole activations)");
      p.sequence_parallel = false;
    }
  }
  if (p.context_parallel > 1 && p.context_parallel_method != ContextParallelMethod::all_to_all) {
    const auto name = kContextParallelMethodNames[static_cast<std::size_t>(p.context_parallel_method)];
    e.lost.push_back("plan.context_parallel_method: " + std::string(name) + " -> all_to_all (DeepSpeed has Ulysses)");
    p.context_parallel_method = ContextParallelMethod::all_to_all;
  }
  if (p.expert_parallel > 1 && p.expert_exchange == ExpertExchange::deduplicated) {
    e.lost.push_back("plan.expert_exchange: deduplicated -> all_to_all (AutoEP's)");
    p.expert_exchange = ExpertExchange::all_to_all;
  }
  if (p.expert_tensor_parallel > 1) {
    e.lost.push_back("plan.expert_tensor_parallel: " + std::to_string(p.expert_tensor_parallel) + " -> 1 (AutoEP takes no other)");
    p.expert_tensor_parallel = 1;
  }
}

void lose_sharding(Expressed& e) {
  Plan& p = e.plan;
  const bool gradients = p.sharding == Sharding::zero_2 || p.sharding == Sharding::zero_3;
  if (p.pipeline_parallel > 1 && gradients) {
    e.lost.push_back("plan.sharding: " + std::string(kShardingNames[static_cast<std::size_t>(p.sharding)]) +
                     " -> zero-1 (DeepSpeed's pipelines take no more)");
    p.sharding = Sharding::zero_1;
  }
  if (p.sharding_group && p.sharding != Sharding::zero_3) {
    e.lost.push_back("plan.sharding_group: all replicas (mics_shard_size is for ZeRO-3)");
    p.sharding_group.reset();
  }
  if (p.overlap_parameter_gather) {
    e.lost.push_back("plan.overlap_parameter_gather: true -> false (ZeRO-1 and 2 gather right after the update)");
    p.overlap_parameter_gather = false;
  }
}

void lose_recompute(Expressed& e) {
  Plan& p = e.plan;
  if (p.recompute.empty()) return;
  const bool whole = p.recomputes(RecomputeModule::layer);
  if (!whole) {
    e.lost.push_back("plan.recompute: full (DeepSpeed's activation checkpointing drops whole layers)");
    p.recompute = {RecomputeModule::layer};
  }
  const bool units = p.pipeline_parallel > 1 && p.recomputed_layers.method == RecomputeMethod::uniform;
  if (whole && !units && p.recomputed_layers != RecomputedLayers{}) {
    e.lost.push_back("plan.recompute_method, plan.recompute_num_layers: every layer by itself");
    p.recomputed_layers = {};
  }
}

}  // namespace

Expressed expressed_in_deepspeed(const Scenario& s) {
  Expressed e{canonical(s), {}};
  lose_schedule(e, s);
  drop_rank_order(e, "DeepSpeed", kMegatronOrder);
  lose_axes(e);
  lose_sharding(e);
  lose_recompute(e);
  drop_offload(e, Offload::activations, "cpu_checkpointing moves the inputs of checkpointed layers alone");
  drop_placement(e, "DeepSpeed");
  if (e.plan.precision == Precision::fp8) {
    e.lost.push_back("plan.precision: fp8 -> bf16 (ds_config.json has no FP8; Transformer Engine's layers would bring it)");
    e.plan.precision = Precision::bf16;
  }
  return e;
}

}  // namespace trillion
