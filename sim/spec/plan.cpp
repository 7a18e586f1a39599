#include "sim/spec/plan.h"

#include <algorithm>
#include <utility>

#include "sim/spec/problems.h"

namespace trillion {

namespace {

constexpr std::int64_t kMostRanks = 1 << 24;

void check_sharding(const Plan& plan, Problems& p) {
  if (plan.sharding_group) {
    p.within("sharding_group", *plan.sharding_group, 1, kMostRanks);
    p.require(plan.sharding != Sharding::none, "sharding_group", "there is nothing to share with sharding: none");
  }
  const bool gathers = plan.sharding == Sharding::zero_1 || plan.sharding == Sharding::zero_2;
  p.require(gathers || !plan.overlap_parameter_gather, "overlap_parameter_gather",
            plan.sharding == Sharding::none ? "nothing is gathered with sharding: none" : "zero-3 always gathers beside the layers");
  const bool reduces_late = plan.sharding == Sharding::none || plan.sharding == Sharding::zero_1;
  p.require(reduces_late || plan.overlap_gradient_reduce, "overlap_gradient_reduce",
            "zero-2 and zero-3 cannot wait: they do not keep whole gradients");
  if (plan.bucket_parameters) {
    p.require(*plan.bucket_parameters >= 1, "bucket_parameters", "must be at least 1");
  }
}

void check_stages(const Plan& plan, Problems& p) {
  if (plan.schedule_file) {
    p.require(plan.virtual_pipeline_stages == 1, "virtual_pipeline_stages", "the stages of a rank are what schedule_file says");
    return;
  }
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

std::string to_text(const RankOrder& order) {
  std::string text;
  for (const RankAxis axis : order) text += (text.empty() ? "" : "-") + std::string(kRankAxisNames[static_cast<std::size_t>(axis)]);
  return text;
}

std::optional<RankOrder> rank_order_of_text(std::string_view text) {
  RankOrder order{};
  std::array<bool, kRankAxisNames.size()> seen{};
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t end = std::min(text.find('-'), text.size());
    const auto name = std::find(kRankAxisNames.begin(), kRankAxisNames.end(), text.substr(0, end));
    if (name == kRankAxisNames.end()) return std::nullopt;
    const auto axis = static_cast<std::size_t>(name - kRankAxisNames.begin());
    if (std::exchange(seen[axis], true)) return std::nullopt;
    order[i] = static_cast<RankAxis>(axis);
    const bool last = i + 1 == order.size();
    if (last != (end == text.size())) return std::nullopt;
    text.remove_prefix(last ? end : end + 1);
  }
  return order;
}

std::string Plan::schedule_name() const {
  return schedule_file ? schedule_file->path : std::string(kScheduleNames[static_cast<std::size_t>(schedule)]);
}

bool Plan::recomputes(RecomputeModule module) const { return std::find(recompute.begin(), recompute.end(), module) != recompute.end(); }

bool Plan::offloads(Offload what) const { return std::find(offload.begin(), offload.end(), what) != offload.end(); }

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
  p.within("redundant_experts", redundant_experts, 0, kMostRanks);
  p.require(redundant_experts == 0 || expert_placement == ExpertPlacement::load_balanced, "redundant_experts",
            "needs expert_placement: load-balanced, which gives the copies to the busiest experts");
  if (data_parallel) p.within("data_parallel", *data_parallel, 1, kMostRanks);
  p.within("micro_batch_size", micro_batch_size, 1, kMostRanks);
  if (stages && chunks) check_stages(*this, p);
  check_sharding(*this, p);
  const bool twice = offload.size() > 1 && offload.front() == offload.back();
  p.require(!twice && offload.size() <= kOffloadNames.size(), "offload", "something is listed twice");
  check_recompute(*this, p);
  return p.take();
}

}  // namespace trillion
