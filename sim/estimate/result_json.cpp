#include "sim/estimate/result_json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "sim/base/enum_name.h"
#include "sim/base/error.h"

namespace trillion {
namespace {

using Json = nlohmann::ordered_json;

// Whole numbers print as such ("tokens": 62914560), others with the fewest digits that read back as the same double.
Json number(double value) {
  CHECK(std::isfinite(value), "a report holds finite numbers only");
  constexpr double kExactBelow = 9007199254740992.0;  // 2^53
  if (value == std::floor(value) && std::abs(value) < kExactBelow) return static_cast<std::int64_t>(value);
  return value;
}

template <int kTime, int kData, int kWork, int kMoney, int kEnergy>
Json number(Quantity<kTime, kData, kWork, kMoney, kEnergy> quantity) {
  return number(quantity.value());
}

template <class T>
Json number_or_null(const std::optional<T>& value) {
  return value ? number(*value) : Json(nullptr);
}

// One pair of chunks is one GPU's work; a step is everyone's.
std::int64_t gpus_of(const Scenario& scenario) { return scenario.extent == Extent::step ? scenario.cluster.gpus() : 1; }

Json plan_json(const Plan& plan) {
  Json recompute = Json::array(), offload = Json::array();
  for (const Offload what : plan.offload) offload.push_back(name_of(kOffloadNames, what));
  for (const RecomputeModule module : plan.recompute) recompute.push_back(name_of(kRecomputeModuleNames, module));
  return {
      {"tensor_parallel", plan.tensor_parallel},
      {"sequence_parallel", plan.sequence_parallel},
      {"tensor_parallel_overlap", name_of(kTensorOverlapNames, plan.tensor_parallel_overlap)},
      {"context_parallel", plan.context_parallel},
      {"context_parallel_method", name_of(kContextParallelMethodNames, plan.context_parallel_method)},
      {"pipeline_parallel", plan.pipeline_parallel},
      {"virtual_pipeline_stages", plan.virtual_pipeline_stages},
      {"expert_parallel", plan.expert_parallel},
      {"expert_tensor_parallel", plan.expert_tensor_parallel},
      {"data_parallel", plan.data_parallel ? Json(*plan.data_parallel) : Json(nullptr)},
      {"micro_batch_size", plan.micro_batch_size},
      {"schedule", plan.schedule_name()},
      {"layers_per_stage", plan.layers_per_stage ? Json(*plan.layers_per_stage) : Json(nullptr)},
      {"rank_order", to_text(plan.rank_order)},
      {"sharding", name_of(kShardingNames, plan.sharding)},
      {"sharding_group", plan.sharding_group ? Json(*plan.sharding_group) : Json(nullptr)},
      {"overlap_gradient_reduce", plan.overlap_gradient_reduce},
      {"overlap_parameter_gather", plan.overlap_parameter_gather},
      {"bucket_parameters", plan.bucket_parameters ? Json(*plan.bucket_parameters) : Json(nullptr)},
      {"recompute", recompute},
      {"offload", offload},
      {"recompute_method", name_of(kRecomputeMethodNames, plan.recomputed_layers.method)},
      {"recompute_num_layers", plan.recomputed_layers.count},
      {"precision", name_of(kPrecisionNames, plan.precision)},
      {"expert_placement", name_of(kExpertPlacementNames, plan.expert_placement)},
      {"expert_exchange", name_of(kExpertExchangeNames, plan.expert_exchange)},
      {"redundant_experts", plan.redundant_experts},
  };
}

// With what the plan left open filled in as simulated.
Json resolved_plan_json(Plan plan, const StepResult& step) {
  plan.data_parallel = step.data_parallel;
  plan.layers_per_stage = step.layers_per_stage;
  Json json = plan_json(plan);
  json["micro_batches"] = step.micro_batches;
  return json;
}

Json head_json(const Scenario& scenario) {
  return {
      {"schema", "trillion.report/1"}, {"scenario", scenario.name},        {"question", scenario.question},
      {"model", scenario.model_file},  {"cluster", scenario.cluster_file}, {"calibration", scenario.calibration_file},
      {"seed", scenario.seed},         {"gpus", scenario.cluster.gpus()},  {"overrides", scenario.overrides},
  };
}

Json conventions_json(const Conventions& conventions) {
  return {
      {"attention_flops", "causal"},  // of fields whose name does not say otherwise
      {"peak_flops_per_s", number(conventions.peak)},
      {"peak_precision", name_of(kPrecisionNames, conventions.peak_precision)},
      {"usable_memory_bytes", number(conventions.usable_memory)},
  };
}

Json model_size_json(const ModelSize& size, const TokenFlops& flops) {
  return {
      {"parameters_total", size.total},
      {"parameters_activated", size.activated},
      {"parameters_mtp", size.mtp},
      {"flops_per_token_causal", number(flops.causal)},
      {"flops_per_token_noncausal", number(flops.noncausal)},
      {"flops_per_token_mtp", number(flops.mtp)},
  };
}

Json answer_json(const Answer& answer) {
  return {
      {"gpu_hours_per_trillion_tokens", number(answer.gpu_hours_per_trillion_tokens)},
      {"interval_90", {number(answer.low), number(answer.high)}},
      {"usd_per_trillion_tokens", number_or_null(answer.usd_per_trillion_tokens)},
  };
}

Json run_json(const std::optional<RunResult>& run) {
  if (!run) return nullptr;
  Json phases = Json::array();
  for (const PhaseResult& phase : run->phases) {
    phases.push_back({
        {"name", phase.name.empty() ? Json(nullptr) : Json(phase.name)},
        {"tokens", number(phase.tokens)},
        {"steps", number(phase.steps)},
        {"global_batch_size", phase.global_batch_size},
        {"sequence_length", phase.sequence_length},
        {"step_time_s", number(phase.step_time)},
        {"gpu_hours", number(phase.gpu_hours)},
    });
  }
  return {
      {"tokens", number(run->tokens)},
      {"steps", number(run->steps)},
      {"gpu_hours", number(run->gpu_hours)},
      {"usd", number_or_null(run->usd)},
      {"days", number(run->days)},
      {"gpu_hours_per_trillion_tokens", number(run->gpu_hours_per_trillion_tokens)},
      {"energy_joules", number_or_null(run->energy)},
      {"phases", phases},
  };
}

Json phases_json(const PhaseSeconds& phases) {
  return {
      {"forward", number(phases.forward)}, {"backward", number(phases.backward)},
      {"weight", number(phases.weight)},   {"forward_backward", number(phases.forward_backward)},
      {"bubble", number(phases.bubble)},   {"optimizer", number(phases.optimizer)},
      {"other", number(phases.other)},
  };
}

Json exposed_json(const ExposedSeconds& exposed) {
  return {
      {"expert_all_to_all", number(exposed.expert_all_to_all)}, {"pipeline_p2p", number(exposed.pipeline_p2p)},
      {"tensor_parallel", number(exposed.tensor_parallel)},     {"context_parallel", number(exposed.context_parallel)},
      {"gradient_reduce", number(exposed.gradient_reduce)},     {"parameter_gather", number(exposed.parameter_gather)},
      {"host_offload", number(exposed.host_offload)},           {"straggler", number(exposed.straggler)},
  };
}

Json compute_json(const ComputeSeconds& compute) {
  return {
      {"attention", number(compute.attention)},
      {"dense_ffn", number(compute.dense_ffn)},
      {"experts", number(compute.experts)},
      {"gate", number(compute.gate)},
      {"embedding_and_head", number(compute.embedding_and_head)},
      {"norm_and_elementwise", number(compute.norm_and_elementwise)},
      {"cast_and_quantize", number(compute.cast_and_quantize)},
      {"recompute", number(compute.recompute)},
      {"optimizer", number(compute.optimizer)},
  };
}

Json step_json(const Scenario& scenario, const Estimate& estimate) {
  const StepResult& step = estimate.step;
  const Utilization used = utilization(scenario, estimate);
  const double tokens_per_s = step.tokens / step.time.value();
  return {
      {"time_s", number(step.time)},
      {"tokens", number(step.tokens)},
      {"tokens_per_s", number(tokens_per_s)},
      {"tokens_per_day", number(tokens_per_s * kDay.value())},
      {"tokens_per_s_per_gpu", number(tokens_per_s / static_cast<double>(gpus_of(scenario)))},
      {"model_flops_per_s_per_gpu_causal", number(used.causal)},
      {"model_flops_per_s_per_gpu_noncausal", number(used.noncausal)},
      {"mfu_causal", number(used.mfu_causal)},
      {"mfu_noncausal", number(used.mfu_noncausal)},
      {"hfu", number(used.hfu)},
      {"phases_s", phases_json(step.phases)},
      {"exposed_s", exposed_json(step.exposed)},
      {"compute_s", compute_json(step.compute)},
      {"host_issue_s", number(step.host_issue)},
      {"clock_mhz", step.clock_mhz > 0 ? Json(number(step.clock_mhz)) : Json(nullptr)},
  };
}

// A rank has no embedding, another no head: what is not there is left out.
Json modules_json(const StageMemory& stage) {
  Json modules = Json::array();
  for (std::size_t i = 0; i < kModuleCount; ++i) {
    const ModuleMemory& m = stage.modules[i];
    if (m.parameters.value() == 0 && m.activations.value() == 0) continue;
    modules.push_back({
        {"module", kModuleNames[i]},
        {"parameters_bytes", number(m.parameters)},
        {"gradients_bytes", number(m.gradients)},
        {"optimizer_bytes", number(m.optimizer)},
        {"activations_bytes", number(m.activations)},
    });
  }
  return modules;
}

Json parts_json(const std::vector<NamedBytes>& parts) {
  Json json = Json::array();
  for (const NamedBytes& part : parts) json.push_back({{"name", part.name}, {"bytes", number(part.bytes)}});
  return json;
}

Json memory_json(const StepResult& step, Bytes capacity) {
  Json stages = Json::array();
  bool fits = true;
  Bytes peak, allocated, reserved;
  for (const StageMemory& stage : step.memory) {
    fits = fits && stage.peak() <= capacity;
    peak = std::max(peak, stage.peak());
    allocated = std::max(allocated, stage.allocated());
    reserved = std::max(reserved, stage.reserved());
    stages.push_back({
        {"stage", stage.stage},
        {"parameters_bytes", number(stage.parameters)},
        {"gradients_bytes", number(stage.gradients)},
        {"optimizer_bytes", number(stage.optimizer)},
        {"activations_bytes", number(stage.activations)},
        {"buffers_bytes", number(stage.buffers)},
        {"overhead_bytes", number(stage.overhead)},
        {"peak_allocated_bytes", number(stage.allocated())},
        {"peak_reserved_bytes", number(stage.reserved())},
        {"peak_bytes", number(stage.peak())},
        {"micro_batches_in_flight", stage.in_flight},
        {"host_bytes", number(stage.host)},
        {"modules", modules_json(stage)},
        {"buffers", parts_json(stage.buffer_parts)},
        {"overhead", parts_json(stage.overhead_parts)},
    });
  }
  return {{"capacity_bytes", number(capacity)},
          {"fits", fits},
          {"peak_bytes", number(peak)},
          {"peak_allocated_bytes", number(allocated)},
          {"peak_reserved_bytes", number(reserved)},
          {"stages", stages}};
}

Json traffic_json(const StepResult& step) {
  Json links = Json::array();
  for (const LinkTraffic& link : step.traffic) {
    links.push_back({
        {"name", link.name},
        {"kind", link.kind},
        {"bytes_per_step", number(link.bytes_per_step)},
        {"utilization", number(link.utilization)},
    });
  }
  return {{"links", links}};
}

Json groups_json(const StepResult& step) {
  Json groups = Json::array();
  for (const GroupPlacement& g : step.groups) {
    groups.push_back({{"name", g.name},
                      {"size", g.size},
                      {"stride", g.stride},
                      {"ranks_per_node", g.ranks_per_node},
                      {"nodes", g.nodes},
                      {"links", g.links},
                      {"nic_share", g.nic_share}});
  }
  return groups;
}

Json load_json(const LoadStatistics& load) {
  return {{"max_over_mean", number(load.max_over_mean)}, {"coefficient_of_variation", number(load.coefficient_of_variation)}};
}

Json routing_json(const Model& model, const RoutingResult& routing) {
  if (!model.moe) return nullptr;
  Json layers = Json::array();
  for (const LayerLoad& layer : routing.layers) {
    Json domains = Json::array();
    for (const LoadStatistics& domain : layer.domains) domains.push_back(load_json(domain));
    layers.push_back({{"layer", layer.layer},
                      {"micro_batch", load_json(layer.micro_batch)},
                      {"all_data", load_json(layer.all_data)},
                      {"domains", domains}});
  }
  return {
      {"balance", name_of(kBalanceNames, routing.balance)},
      {"tokens_per_expert_max_over_mean", number(routing.tokens_per_expert_max_over_mean)},
      {"tokens_per_expert_coefficient_of_variation", number(routing.tokens_per_expert_variation)},
      {"rank_load_max_over_mean", number(routing.rank_load_max_over_mean)},
      {"scale_out_max_over_mean", number(routing.scale_out_max_over_mean)},
      {"dropped_share", number(routing.dropped_share)},
      {"served_rows", number(routing.served_rows)},
      {"nodes_per_token_mean", number(routing.nodes_per_token_mean)},
      {"bytes_per_token_scale_out", number(routing.bytes_per_token_scale_out)},
      {"bytes_per_token_scale_up", number(routing.bytes_per_token_scale_up)},
      {"dispatch_bytes_per_copy", number(routing.dispatch_copy)},
      {"combine_bytes_per_copy", number(routing.combine_copy)},
      {"without_node_limit", routing.limited ? Json{{"nodes_per_token_mean", number(routing.free_nodes_per_token)},
                                                    {"bytes_per_token_scale_out", number(routing.free_bytes_per_token_scale_out)}}
                                             : Json(nullptr)},
      {"layers", layers},
  };
}

Json origins_json(const StepResult& step) {
  Json origins = Json::array();
  for (const OriginShare& share : step.origins) {
    origins.push_back({
        {"parameter", share.parameter},
        {"origin", to_text(share.provenance.origin)},
        {"source", share.provenance.source},
        {"share_of_time", number(share.share_of_time)},
        {"extrapolated", share.extrapolated},
    });
  }
  return origins;
}

Json simulation_json(const Scenario& scenario, const StepResult& step, const SimulationCost& cost) {
  return {
      {"events", step.events},
      {"tasks", step.tasks},
      {"kernels", step.kernels},
      {"wall_s", number(cost.wall)},
      {"peak_rss_bytes", number(cost.peak_memory)},
      {"fidelity", scenario.fidelity == Fidelity::full ? "full" : "folded"},
  };
}

// A file name or a source may hold bytes that are not UTF-8; they print as U+FFFD rather than make a report impossible.
std::string text_of(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

}  // namespace

Utilization utilization(const Scenario& scenario, const Estimate& estimate) {
  const StepResult& step = estimate.step;
  const double gpus = static_cast<double>(gpus_of(scenario));
  Utilization used;
  used.causal = step.model_flops_causal / step.time / gpus;
  used.noncausal = step.model_flops_noncausal / step.time / gpus;
  used.mfu_causal = used.causal / estimate.conventions.peak;
  used.mfu_noncausal = used.noncausal / estimate.conventions.peak;
  used.hfu = step.hardware_flops / step.time / gpus / estimate.conventions.peak;
  return used;
}

std::string report_json(const Scenario& scenario, const Estimate& estimate, const SimulationCost& cost) {
  Json json = head_json(scenario);
  json["conventions"] = conventions_json(estimate.conventions);
  json["plan"] = resolved_plan_json(scenario.plan, estimate.step);
  json["model_size"] = model_size_json(estimate.size, estimate.token_flops);
  json["answer"] = answer_json(estimate.answer);
  json["run"] = run_json(estimate.run);
  json["step"] = step_json(scenario, estimate);
  json["memory"] = memory_json(estimate.step, estimate.conventions.usable_memory);
  json["traffic"] = traffic_json(estimate.step);
  json["groups"] = groups_json(estimate.step);
  json["routing"] = routing_json(scenario.model, estimate.step.routing);
  json["origins"] = origins_json(estimate.step);
  json["assumptions"] = scenario.model.assumed;
  json["defaults"] = scenario.defaults;
  json["simulation"] = simulation_json(scenario, estimate.step, cost);
  return text_of(json);
}

std::string plan_json_text(const Plan& plan) { return plan_json(plan).dump(); }

std::string infeasible_json(const Scenario& scenario, const Infeasible& infeasible) {
  Json json = head_json(scenario);
  json["plan"] = plan_json(scenario.plan);
  json["infeasible"] = {{"reason", infeasible.reason}, {"help", infeasible.help}};
  return text_of(json);
}

}  // namespace trillion
