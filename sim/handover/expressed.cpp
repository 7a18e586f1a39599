#include "sim/handover/expressed.h"

#include <algorithm>

#include "sim/base/error.h"
#include "sim/handover/losses.h"
#include "sim/workload/stage.h"

namespace trillion {

Plan canonical(const Scenario& s) {
  Plan p = s.plan;
  CHECK(p.data_parallel && p.layers_per_stage, "a plan is handed over as it was simulated");
  if (p.tensor_parallel == 1) {
    p.sequence_parallel = false;
    p.tensor_parallel_overlap = TensorOverlap::bulk;
  }
  if (p.expert_parallel == 1) p.expert_exchange = ExpertExchange::deduplicated;
  if (p.context_parallel == 1) p.context_parallel_method = ContextParallelMethod::all_gather;
  if (p.schedule == ScheduleKind::interleaved_1f1b && p.virtual_pipeline_stages == 1) p.schedule = ScheduleKind::one_f_one_b;
  if (p.pipeline_parallel == 1 && p.virtual_pipeline_stages == 1 && p.layers_per_stage->size() == 1) {
    p.schedule = ScheduleKind::one_f_one_b;
    p.schedule_file.reset();
  }
  if (p.sharding_group && *p.sharding_group == *p.data_parallel) p.sharding_group.reset();
  std::sort(p.recompute.begin(), p.recompute.end());
  std::sort(p.offload.begin(), p.offload.end());
  return p;
}

Expressed expressed(Target target, const Scenario& scenario) {
  switch (target) {
    case Target::megatron:
    case Target::megatron_bridge: return expressed_in_megatron(scenario);
    case Target::torchtitan:
    case Target::torchtitan_toml: return expressed_in_torchtitan(scenario);
    case Target::deepspeed: return expressed_in_deepspeed(scenario);
  }
  throw InternalError("a framework without words");
}

namespace losses {

std::string name_of(ScheduleKind kind) { return std::string(kScheduleNames[static_cast<std::size_t>(kind)]); }

void change_schedule(Expressed& e, const Scenario& s, ScheduleKind to, std::int64_t chunks, const std::string& why) {
  Plan& p = e.plan;
  e.lost.push_back("plan.schedule: " + p.schedule_name() + " -> " + name_of(to) +
                   (chunks > 1 ? ", " + std::to_string(chunks) + " chunks a rank" : "") + " (" + why + ")");
  p.schedule = to;
  p.schedule_file.reset();
  p.virtual_pipeline_stages = chunks;
  const std::int64_t stages = stage_count(p);
  if (static_cast<std::int64_t>(p.layers_per_stage->size()) == stages) return;
  p.layers_per_stage = even_split(s.model.num_hidden_layers, stages);
}

std::vector<std::int64_t> even_split(std::int64_t layers, std::int64_t stages) {
  std::vector<std::int64_t> split(static_cast<std::size_t>(stages), layers / stages);
  for (std::int64_t i = 0; i < layers % stages; ++i) ++split[static_cast<std::size_t>(i)];
  return split;
}

void drop_placement(Expressed& e, const std::string& framework) {
  if (e.plan.redundant_experts > 0) {
    e.lost.push_back("plan.redundant_experts: " + std::to_string(e.plan.redundant_experts) + " -> 0 (" + framework +
                     " trains no expert twice)");
    e.plan.redundant_experts = 0;
  }
  if (e.plan.expert_placement == ExpertPlacement::contiguous) return;
  const auto name = kExpertPlacementNames[static_cast<std::size_t>(e.plan.expert_placement)];
  e.lost.push_back("plan.expert_placement: " + std::string(name) + " -> contiguous (" + framework + " places experts in their order)");
  e.plan.expert_placement = ExpertPlacement::contiguous;
}

void drop_rank_order(Expressed& e, const std::string& framework, const RankOrder& to) {
  if (e.plan.rank_order == to) return;
  e.lost.push_back("plan.rank_order: " + to_text(e.plan.rank_order) + " -> " + to_text(to) + " (" + framework + " has no other)");
  e.plan.rank_order = to;
}

void drop_offload(Expressed& e, Offload what, const std::string& why) {
  if (!e.plan.offloads(what)) return;
  e.lost.push_back("plan.offload: without " + std::string(kOffloadNames[static_cast<std::size_t>(what)]) + " (" + why + ")");
  e.plan.offload.erase(std::find(e.plan.offload.begin(), e.plan.offload.end(), what));
}

}  // namespace losses
}  // namespace trillion
