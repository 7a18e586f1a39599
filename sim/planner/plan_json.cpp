#include "sim/planner/plan_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sim/estimate/result_json.h"

namespace trillion {

namespace {

using Json = nlohmann::ordered_json;

std::string recompute_text(const std::vector<RecomputeModule>& modules) {
  using enum RecomputeModule;
  if (modules.empty()) return "none";
  if (modules == std::vector{layer}) return "full";
  std::string text = "[";
  for (const RecomputeModule m : modules) {
    text += (text.size() > 1 ? "," : "") + std::string(kRecomputeModuleNames[static_cast<std::size_t>(m)]);
  }
  return text + "]";
}

template <class Names, class Enum>
std::string_view name_of(const Names& names, Enum value) {
  return names.at(static_cast<std::size_t>(value));
}

class Flags {
 public:
  void add(std::string_view key, const std::string& value) {
    text_ += (text_.empty() ? "--set " : " --set ") + std::string(key) + "=" + value;
  }
  void integer(std::string_view key, std::int64_t base, std::int64_t value) {
    if (base != value) add(key, std::to_string(value));
  }
  void word(std::string_view key, std::string_view base, std::string_view value) {
    if (base != value) add(key, std::string(value));
  }
  std::string text() && { return std::move(text_); }

 private:
  std::string text_;
};

double mfu(const Scenario& s, const Ranked& r) {
  const double gpus = static_cast<double>(r.layout.nodes * s.cluster.gpus_per_node);
  return r.step.model_flops_causal.value() / r.step.time.value() / gpus / s.cluster.gpu.peak_bf16.value();
}

Json row(const Scenario& s, const Ranked& r) {
  Json plan = Json::parse(plan_json_text(r.layout.plan));
  return {{"plan", std::move(plan)},
          {"nodes", r.layout.nodes},
          {"flags", layout_flags(s, r.layout)},
          {"answer",
           {{"gpu_hours_per_trillion_tokens", r.gpu_hours_per_trillion_tokens},
            {"usd_per_trillion_tokens", r.usd_per_trillion_tokens ? Json(r.usd_per_trillion_tokens->value()) : Json(nullptr)},
            {"days", r.days}}},
          {"step", {{"time_s", r.step.time.value()}, {"mfu_causal", mfu(s, r)}}},
          {"memory", {{"peak_bytes", r.peak_memory.value()}}}};
}

}  // namespace

std::string layout_flags(const Scenario& s, const Layout& layout) {
  const Plan &a = s.plan, &b = layout.plan;
  Flags flags;
  flags.integer("cluster.nodes", s.cluster.nodes, layout.nodes);
  flags.integer("plan.tensor_parallel", a.tensor_parallel, b.tensor_parallel);
  if (a.sequence_parallel != b.sequence_parallel) flags.add("plan.sequence_parallel", b.sequence_parallel ? "true" : "false");
  flags.integer("plan.context_parallel", a.context_parallel, b.context_parallel);
  flags.integer("plan.pipeline_parallel", a.pipeline_parallel, b.pipeline_parallel);
  flags.word("plan.schedule", name_of(kScheduleNames, a.schedule), name_of(kScheduleNames, b.schedule));
  flags.integer("plan.virtual_pipeline_stages", a.virtual_pipeline_stages, b.virtual_pipeline_stages);
  flags.integer("plan.expert_parallel", a.expert_parallel, b.expert_parallel);
  flags.integer("plan.expert_tensor_parallel", a.expert_tensor_parallel, b.expert_tensor_parallel);
  flags.integer("plan.micro_batch_size", a.micro_batch_size, b.micro_batch_size);
  if (a.recompute != b.recompute) flags.add("plan.recompute", recompute_text(b.recompute));
  flags.word("plan.sharding", name_of(kShardingNames, a.sharding), name_of(kShardingNames, b.sharding));
  flags.word("plan.precision", name_of(kPrecisionNames, a.precision), name_of(kPrecisionNames, b.precision));
  flags.word("plan.expert_placement", name_of(kExpertPlacementNames, a.expert_placement),
             name_of(kExpertPlacementNames, b.expert_placement));
  // What the scenario fixed for its own layout follows the new one.
  if (a.data_parallel && a.data_parallel != b.data_parallel) flags.add("plan.data_parallel", "null");
  if (a.layers_per_stage && a.layers_per_stage != b.layers_per_stage) flags.add("plan.layers_per_stage", "null");
  return std::move(flags).text();
}

std::string plan_json(const Scenario& s, const PlanSearch& search, std::size_t top, Seconds wall) {
  const SearchCounts& counts = search.counts();
  Json json = {{"schema", "trillion.plan/1"},
               {"scenario", s.name},
               {"seed", s.seed},
               {"objective", kObjectiveNames[static_cast<std::size_t>(s.search.objective)]},
               {"complete", search.done() == search.total()},
               {"candidates",
                {{"enumerated", counts.enumerated},
                 {"pruned_by_memory", counts.pruned_by_memory},
                 {"pruned_by_bound", counts.pruned_by_bound},
                 {"simulated", counts.simulated}}},
               {"ranked", Json::array()},
               {"pareto", Json::array()}};
  for (std::size_t i = 0; i < std::min(top, search.ranked().size()); ++i) json["ranked"].push_back(row(s, search.ranked()[i]));
  for (const std::size_t i : pareto_front(search.ranked())) json["pareto"].push_back(row(s, search.ranked()[i]));
  json["wall_s"] = wall.value();
  return json.dump(2) + "\n";
}

}  // namespace trillion
