#include "sim/spec/plan.h"

#include <algorithm>
#include <utility>

#include "sim/spec/problems.h"

namespace trillion {

namespace {

constexpr std::int64_t kMostRanks = 1 << 24;

void check_stages(const Plan& plan, Problems& p) {
  const bool interleaved = plan.schedule == ScheduleKind::interleaved_1f1b;
  p.require(interleaved || plan.virtual_pipeline_stages == 1, "virtual_pipeline_stages",
            "only schedule: interleaved-1f1b takes more than one, found " + std::to_string(plan.virtual_pipeline_stages));
  if (!plan.layers_per_stage) return;
  for (const std::int64_t layers : *plan.layers_per_stage) {
    if (!p.within("layers_per_stage", layers, 0, 1 << 14)) return;
  }
  // zb-v and dualpipe-v fold two stages onto every rank.
  const bool folded = plan.schedule == ScheduleKind::zb_v || plan.schedule == ScheduleKind::dualpipe_v;
  const std::int64_t stages = plan.pipeline_parallel * (folded ? 2 : plan.virtual_pipeline_stages);
  p.require(static_cast<std::int64_t>(plan.layers_per_stage->size()) == stages, "layers_per_stage",
            "must have one entry per stage, " + std::to_string(stages) + " for this pipeline_parallel and schedule, found " +
                std::to_string(plan.layers_per_stage->size()));
}

std::string name(RecomputeModule module) { return "'" + std::string(kRecomputeModuleNames[static_cast<std::size_t>(module)]) + "'"; }

// A module inside another listed one changes nothing: that is a misunderstanding, not a plan.
void check_recompute(const Plan& plan, Problems& p) {
  using enum RecomputeModule;
  const auto& listed = plan.recompute;
  for (auto at = listed.begin(); at != listed.end(); ++at) {
    p.require(std::find(listed.begin(), at, *at) == at, "recompute", name(*at) + " is listed twice");
    if (*at != layer && plan.recomputes(layer)) p.require(false, "recompute", name(*at) + " is part of 'layer', which is listed too");
  }
  for (const auto& [inside, whole] : {std::pair{shared_experts, moe}, {moe_activation, moe}, {moe_activation, activation}}) {
    if (!plan.recomputes(inside) || !plan.recomputes(whole)) continue;
    p.require(false, "recompute", name(inside) + " is part of " + name(whole) + ", which is listed too");
  }
  if (!p.within("recompute_num_layers", plan.recomputed_layers.count, 1, 1 << 14)) return;
  p.require(plan.recomputed_layers == RecomputedLayers{} || plan.recomputes(layer), "recompute_num_layers",
            "only recompute: full counts layers");
}

}  // namespace

bool Plan::recomputes(RecomputeModule module) const { return std::find(recompute.begin(), recompute.end(), module) != recompute.end(); }

std::vector<std::string> Plan::validate() const {
  Problems p;
  p.within("tensor_parallel", tensor_parallel, 1, kMostRanks);
  p.within("context_parallel", context_parallel, 1, kMostRanks);
  p.require(tensor_parallel_overlap != TensorOverlap::pipelined || sequence_parallel || tensor_parallel == 1, "tensor_parallel_overlap",
            "pipelined needs sequence_parallel: there are no gathers and scatters to cut without it");
  const bool stages = p.within("pipeline_parallel", pipeline_parallel, 1, 1 << 14);
  const bool chunks = p.within("virtual_pipeline_stages", virtual_pipeline_stages, 1, 1 << 10);
  p.within("expert_parallel", expert_parallel, 1, kMostRanks);
  p.within("expert_tensor_parallel", expert_tensor_parallel, 1, kMostRanks);
  if (data_parallel) p.within("data_parallel", *data_parallel, 1, kMostRanks);
  p.within("micro_batch_size", micro_batch_size, 1, kMostRanks);
  if (stages && chunks) check_stages(*this, p);
  check_recompute(*this, p);
  return p.take();
}

}  // namespace trillion
