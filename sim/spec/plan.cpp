#include "sim/spec/plan.h"

#include <algorithm>

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

}  // namespace

bool Plan::recomputes(RecomputeModule module) const { return std::find(recompute.begin(), recompute.end(), module) != recompute.end(); }

std::vector<std::string> Plan::validate() const {
  Problems p;
  p.within("tensor_parallel", tensor_parallel, 1, kMostRanks);
  p.within("context_parallel", context_parallel, 1, kMostRanks);
  const bool stages = p.within("pipeline_parallel", pipeline_parallel, 1, 1 << 14);
  const bool chunks = p.within("virtual_pipeline_stages", virtual_pipeline_stages, 1, 1 << 10);
  p.within("expert_parallel", expert_parallel, 1, kMostRanks);
  p.within("expert_tensor_parallel", expert_tensor_parallel, 1, kMostRanks);
  if (data_parallel) p.within("data_parallel", *data_parallel, 1, kMostRanks);
  p.within("micro_batch_size", micro_batch_size, 1, kMostRanks);
  if (stages && chunks) check_stages(*this, p);
  for (std::size_t i = 0; i < recompute.size(); ++i) {
    const bool twice = std::find(recompute.begin(), recompute.begin() + static_cast<std::ptrdiff_t>(i), recompute[i]) !=
                       recompute.begin() + static_cast<std::ptrdiff_t>(i);
    p.require(!twice, "recompute", "'" + std::string(kRecomputeModuleNames[static_cast<std::size_t>(recompute[i])]) + "' is listed twice");
  }
  return p.take();
}

}  // namespace trillion
