#include "sim/planner/plan_json.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sim/base/enum_name.h"
#include "sim/estimate/result_json.h"
#include "sim/planner/best_by_value.h"
#include "sim/planner/step_reasons.h"
#include "sim/spec/unit_text.h"

namespace trillion {

namespace {

using Json = nlohmann::ordered_json;

std::string recompute_text(const std::vector<RecomputeModule>& modules) {
  using enum RecomputeModule;
  if (modules.empty()) return "none";
  if (modules == std::vector{layer}) return "full";
  std::string text = "[";
  for (const RecomputeModule m : modules) {
    text += (text.size() > 1 ? "," : "") + name_of(kRecomputeModuleNames, m);
  }
  return text + "]";
}

class Flags {
 public:
  void add(std::string_view key, const std::string& value) {
    text_ += (text_.empty() ? "--set " : " --set ") + std::string(key) + "=" + value;
  }
  void integer(std::string_view key, std::int64_t base, std::int64_t value) {
    if (base != value) add(key, std::to_string(value));
  }
  void boolean(std::string_view key, bool base, bool value) {
    if (base != value) add(key, value ? "true" : "false");
  }
  void word(std::string_view key, std::string_view base, std::string_view value) {
    if (base != value) add(key, std::string(value));
  }
  std::string text() && { return std::move(text_); }

 private:
  std::string text_;
};

std::string list_text(const std::vector<std::int64_t>& values) {
  std::string text = "[";
  for (const std::int64_t v : values) text += (text.size() > 1 ? "," : "") + std::to_string(v);
  return text + "]";
}

std::string offload_text(const std::vector<Offload>& parts) {
  if (parts.empty()) return "none";
  std::string text = "[";
  for (const Offload o : parts) text += (text.size() > 1 ? "," : "") + name_of(kOffloadNames, o);
  return text + "]";
}

// The shares of its step that tell a layout from its neighbours.
Json why_json(const Scenario& on, const Ranked& r) {
  const StepReasons why = step_reasons(on, r);
  return {{"bubble", why.bubble},
          {"exposed_communication", why.exposed},
          {"recomputation", why.recompute},
          {"matrix_kernels_below_peak", why.below_peak},
          {"step_end", why.step_end}};
}

double mfu(const Cluster& cluster, const Ranked& r) {
  const double gpus = static_cast<double>(r.layout.nodes * cluster.gpus_per_node);
  return r.step.model_flops_causal.value() / r.step.time.value() / gpus / cluster.gpu.peak_bf16.value();
}

Json row(const Scenario& s, const PlanSearch& search, const Ranked& r) {
  Json plan = Json::parse(plan_json_text(r.layout.plan));
  const Scenario& on = search.clusters()[r.layout.cluster];
  return {{"cluster", cluster_name(s, r.layout)},
          {"nodes", r.layout.nodes},
          {"gpus", r.layout.nodes * on.cluster.gpus_per_node},
          {"plan", std::move(plan)},
          {"flags", layout_flags(s, r.asked)},
          {"answer",
           {{"gpu_hours_per_trillion_tokens", r.gpu_hours_per_trillion_tokens},
            {"usd_per_trillion_tokens", r.usd_per_trillion_tokens ? Json(r.usd_per_trillion_tokens->value()) : Json(nullptr)},
            {"days", r.days},
            {"usd", r.usd ? Json(r.usd->value()) : Json(nullptr)}}},
          {"step",
           {{"time_s", r.step.time.value()},
            {"screened_time_s", r.screened ? Json(r.screened->value()) : Json(nullptr)},
            {"mfu_causal", mfu(on.cluster, r)}}},
          {"why", why_json(on, r)},
          {"memory", {{"peak_bytes", r.peak_memory.value()}, {"head_room_bytes", (on.cluster.gpu.usable_memory - r.peak_memory).value()}}}};
}

// [{axis, values[{value, step_time_s, how, flags}]}]
Json by_value_json(const Scenario& s, const PlanSearch& search) {
  static constexpr std::array<std::string_view, 3> kHow = {"simulated", "screened", "bounded"};
  Json out = Json::array();
  for (const AxisBests& axis : best_by_value(s, search)) {
    Json values = Json::array();
    for (const BestOfValue& v : axis.values) {
      Json entry = {{"value", v.value}, {"fits", v.best.has_value()}};
      if (v.best) {
        const Layout& layout = search.layouts()[v.best->index];
        entry["step_time_s"] = v.best->step_time.value();
        entry["how"] = name_of(kHow, v.best->how);
        entry["cluster"] = cluster_name(s, layout);
        entry["nodes"] = layout.nodes;
        entry["flags"] = layout_flags(s, layout);
      }
      values.push_back(std::move(entry));
    }
    out.push_back({{"axis", axis.axis}, {"values", std::move(values)}});
  }
  return out;
}

Json sensitivity_json(const Scenario& s, const SensitivityAnalysis& analysis, const PlanSearch& search) {
  const auto layout = [&](std::size_t contender) -> const Ranked& { return search.ranked()[analysis.contenders()[contender]]; };
  const auto tipping = [&](const std::optional<Tipping>& t) {
    if (!t) return Json(nullptr);
    return Json{{"change", t->change}, {"simulated_whole", t->simulated_whole}, {"wins", layout_flags(s, layout(t->wins).asked)}};
  };
  Json out = Json::array();
  for (const Sensitivity& found : analysis.found()) {
    const Lever& lever = found.lever;
    out.push_back(
        {{"quantity", lever.name},
         {"cluster", lever.cluster && !s.search.clusters.empty() ? Json(s.search.clusters.at(*lever.cluster).name) : Json(nullptr)},
         {"origin", to_text(lever.provenance.origin)},
         {"source", lever.provenance.source},
         {"interval_90", lever.interval ? Json(*lever.interval) : Json(nullptr)},
         {"tips_up", tipping(found.up)},
         {"tips_down", tipping(found.down)},
         {"could_cost", found.could_cost}});
  }
  return out;
}

}  // namespace

std::string layout_flags(const Scenario& s, const Layout& layout) {
  const Plan &a = s.plan, &b = layout.plan;
  Flags flags;
  std::int64_t own_nodes = s.cluster.nodes;
  if (!s.search.clusters.empty()) {
    const SearchedCluster& c = s.search.clusters.at(layout.cluster);
    flags.word("cluster", s.cluster_file, c.cluster_file);
    flags.word("calibration", s.calibration_file, c.calibration_file);
    own_nodes = c.cluster.nodes;
  }
  flags.integer("cluster.nodes", own_nodes, layout.nodes);
  flags.integer("plan.tensor_parallel", a.tensor_parallel, b.tensor_parallel);
  flags.boolean("plan.sequence_parallel", a.sequence_parallel, b.sequence_parallel);
  flags.word("plan.tensor_parallel_overlap", name_of(kTensorOverlapNames, a.tensor_parallel_overlap),
             name_of(kTensorOverlapNames, b.tensor_parallel_overlap));
  flags.integer("plan.context_parallel", a.context_parallel, b.context_parallel);
  flags.word("plan.context_parallel_method", name_of(kContextParallelMethodNames, a.context_parallel_method),
             name_of(kContextParallelMethodNames, b.context_parallel_method));
  flags.integer("plan.pipeline_parallel", a.pipeline_parallel, b.pipeline_parallel);
  flags.word("plan.schedule", name_of(kScheduleNames, a.schedule), name_of(kScheduleNames, b.schedule));
  flags.integer("plan.virtual_pipeline_stages", a.virtual_pipeline_stages, b.virtual_pipeline_stages);
  flags.integer("plan.expert_parallel", a.expert_parallel, b.expert_parallel);
  flags.integer("plan.expert_tensor_parallel", a.expert_tensor_parallel, b.expert_tensor_parallel);
  flags.integer("plan.micro_batch_size", a.micro_batch_size, b.micro_batch_size);
  if (a.recompute != b.recompute) flags.add("plan.recompute", recompute_text(b.recompute));
  flags.word("plan.recompute_method", name_of(kRecomputeMethodNames, a.recomputed_layers.method),
             name_of(kRecomputeMethodNames, b.recomputed_layers.method));
  flags.integer("plan.recompute_num_layers", a.recomputed_layers.count, b.recomputed_layers.count);
  if (a.offload != b.offload) flags.add("plan.offload", offload_text(b.offload));
  flags.word("plan.sharding", name_of(kShardingNames, a.sharding), name_of(kShardingNames, b.sharding));
  flags.word("plan.precision", name_of(kPrecisionNames, a.precision), name_of(kPrecisionNames, b.precision));
  flags.word("plan.expert_placement", name_of(kExpertPlacementNames, a.expert_placement),
             name_of(kExpertPlacementNames, b.expert_placement));
  flags.integer("plan.redundant_experts", a.redundant_experts, b.redundant_experts);
  if (a.sharding_group != b.sharding_group) {
    flags.add("plan.sharding_group", b.sharding_group ? std::to_string(*b.sharding_group) : "null");
  }
  flags.boolean("plan.overlap_gradient_reduce", a.overlap_gradient_reduce, b.overlap_gradient_reduce);
  flags.boolean("plan.overlap_parameter_gather", a.overlap_parameter_gather, b.overlap_parameter_gather);
  if (a.bucket_parameters != b.bucket_parameters) {
    flags.add("plan.bucket_parameters", b.bucket_parameters ? exact_number_text(*b.bucket_parameters) : "null");
  }
  if (a.rank_order != b.rank_order) flags.add("plan.rank_order", to_text(b.rank_order));
  if (a.schedule_file && !b.schedule_file) flags.add("plan.schedule_file", "null");
  // What the scenario fixed for its own layout follows the new one.
  if (a.data_parallel && a.data_parallel != b.data_parallel) flags.add("plan.data_parallel", "null");
  if (a.layers_per_stage != b.layers_per_stage) {
    flags.add("plan.layers_per_stage", b.layers_per_stage ? list_text(*b.layers_per_stage) : "null");
  }
  return std::move(flags).text();
}

std::string cluster_name(const Scenario& s, const Layout& layout) {
  return s.search.clusters.empty() ? s.cluster.name : s.search.clusters.at(layout.cluster).name;
}

std::string plan_json(const Scenario& s, const PlanAnswer& answer, Seconds wall) {
  const PlanSearch& search = answer.search;
  const SearchCounts counts = search.counts();
  const ScreeningError error = search.screening_error();
  Json json = {{"schema", "trillion.plan/1"},
               {"scenario", s.name},
               {"seed", s.seed},
               {"objective", kObjectiveNames[static_cast<std::size_t>(s.search.objective)]},
               {"budget_usd", s.search.budget ? Json(s.search.budget->value()) : Json(nullptr)},
               {"deadline_s", s.search.deadline ? Json(s.search.deadline->value()) : Json(nullptr)},
               {"complete", search.complete()},
               {"candidates",
                {{"enumerated", counts.enumerated},
                 {"pruned_by_memory", counts.pruned_by_memory},
                 {"pruned_by_bound", counts.pruned_by_bound},
                 {"pruned_by_screening", counts.pruned_by_screening},
                 {"screened", counts.screened},
                 {"simulated", counts.simulated}}},
               {"screening",
                {{"compared", error.layouts},
                 {"median_absolute_error", error.median},
                 {"largest_overestimate", error.largest_over},
                 {"largest_underestimate", error.largest_under},
                 {"allowance", error.allowance}}},
               {"ranked", Json::array()},
               {"pareto", Json::array()}};
  const std::vector<Ranked>& ranked = search.ranked();
  for (std::size_t i = 0; i < std::min(answer.top, ranked.size()); ++i) json["ranked"].push_back(row(s, search, ranked[i]));
  for (const std::size_t i : pareto_front(ranked)) json["pareto"].push_back(row(s, search, ranked[i]));
  json["by_size"] = Json::array();
  for (const std::size_t i : best_by_size(ranked)) json["by_size"].push_back(row(s, search, ranked[i]));
  json["by_value"] = by_value_json(s, search);
  json["sensitivity"] = answer.sensitivity ? sensitivity_json(s, *answer.sensitivity, search) : Json(nullptr);
  json["wall_s"] = wall.value();
  return json.dump(2) + "\n";
}

}  // namespace trillion
