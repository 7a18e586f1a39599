#include "sim/estimate/prepare.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "sim/base/number_text.h"
#include "sim/moe/exchange.h"
#include "sim/spec/recompute_amount.h"
#include "sim/workload/block.h"
#include "sim/workload/block_times.h"
#include "sim/workload/feasibility.h"

namespace trillion {

namespace {

PipelineSchedule overlapped_pair() {
  const Action pair{{ActionKind::forward, 0, 1}, Pass{ActionKind::backward, 0, 0}};
  return {.stages = 1, .micro_batches = 2, .ranks = {{pair}}};
}

// Two chunks of MoE layers, one forward and one backward, on one rank: the unit of DeepSeek's published profile.
PreparedStep prepare_pair(const Scenario& s, const DeviceMesh& mesh) {
  const auto layers = static_cast<std::size_t>(s.pair_layers);
  PreparedStep step{s.plan, mesh, load_of(s, mesh), overlapped_pair(), {}, {}};
  step.cut = {{Stage(layers, s.model.moe ? BlockKind::moe_layer : BlockKind::dense_layer)}, {s.model.num_hidden_layers - s.pair_layers}};
  step.plan.data_parallel = mesh.data_parallel();
  step.plan.layers_per_stage = {s.pair_layers};
  return step;
}

}  // namespace

LayerCosts layer_costs(const Scenario& s, BlockMemory& blocks, const Timing& timing) {
  const Conditions conditions = kernel_conditions(s, timing);
  const auto cost = [&](BlockKind k) { return block_times(blocks.of(k).block, timing, conditions).total().value(); };
  const double dense = cost(BlockKind::dense_layer), moe = s.model.moe ? cost(BlockKind::moe_layer) : 0;
  LayerCosts costs;
  for (std::int64_t l = 0; l < s.model.num_hidden_layers; ++l) costs.layers.push_back(s.model.is_moe_layer(l) ? moe : dense);
  costs.first = cost(BlockKind::embedding);
  costs.last = cost(BlockKind::head);
  if (s.model.num_nextn_predict_layers > 0) {
    costs.last += static_cast<double>(s.model.num_nextn_predict_layers) * (cost(BlockKind::mtp_layer) + cost(BlockKind::mtp_head));
  }
  return costs;
}

StageShape stage_shape(const Plan& plan) {
  const bool paired = !plan.schedule_file && (plan.schedule == ScheduleKind::dualpipe || plan.schedule == ScheduleKind::dualpipe_v ||
                                              plan.schedule == ScheduleKind::zb_v);
  return {.stages = stage_count(plan), .paired = paired};
}

std::vector<std::int64_t> even_split(const StageShape& shape, const LayerCosts& costs) {
  return split_layers(costs.layers, costs.first, costs.last, shape);
}

ExpertGroup expert_group(const Scenario& s, const DeviceMesh& mesh) {
  const Group group = mesh.expert();
  const std::int64_t tokens = s.plan.micro_batch_size * s.training.sequence_length / s.plan.context_parallel /
                              (s.plan.sequence_parallel ? s.plan.tensor_parallel : 1);
  return {group.size, group.ranks_per_node, tokens};
}

ExpertLoad load_of(const Scenario& s, const DeviceMesh& mesh) {
  if (!s.model.moe) return {};
  const ExpertGroup ranks = expert_group(s, mesh);
  ExpertLoad load = s.training.routing.balance == Balance::measured ? expert_load_measured(s.model, s.plan, s.training, ranks, s.seed)
                                                                    : expert_load(s.model, s.plan, s.training, ranks, s.seed);
  if (s.plan.expert_exchange == ExpertExchange::deduplicated) return load;
  return every_copy_sent(std::move(load), ranks, s.model.moe->num_experts_per_tok);
}

std::variant<PreparedStep, Infeasible> lay_out(const Scenario& scenario, const Timing& timing, const std::optional<ExpertLoad>& known) {
  if (auto why = why_layout_impossible(scenario)) return *why;
  if (auto why = why_mesh_impossible(scenario.plan, scenario.cluster)) return *why;  // of a pair, which is not asked above
  Scenario s = scenario;
  DeviceMesh mesh(s.plan, s.cluster);
  mesh.share_network(s.cluster);
  if (s.extent == Extent::overlapped_pair) return prepare_pair(s, mesh);
  PreparedStep step{s.plan, mesh, known ? *known : load_of(s, mesh), schedule_of(s.plan, micro_batches(s)), {}, {}};
  step.plan.data_parallel = mesh.data_parallel();
  BlockMemory blocks(s, mesh, step.load.mean);
  if (!step.plan.layers_per_stage) step.plan.layers_per_stage = even_split(stage_shape(s.plan), layer_costs(s, blocks, timing));
  step.cut = {make_stages(s.model, *step.plan.layers_per_stage, s.plan.recomputed_layers), first_layers(*step.plan.layers_per_stage)};
  step.memory = memory_of_ranks({s, step.mesh, step.schedule, step.cut, step.load.mean}, blocks);
  return step;
}

namespace {

// Changes that make a plan smaller, each tried on its own.
std::vector<std::pair<std::string, Plan>> smaller_plans(const Plan& plan, const Model& model, bool unfused_attention) {
  std::vector<std::pair<std::string, Plan>> out;
  const auto add = [&](std::string what, auto change) {
    Plan p = plan;
    change(p);
    out.emplace_back(std::move(what), std::move(p));
  };
  using enum RecomputeModule;
  const std::vector<RecomputeModule> selective = modules_of(RecomputeAmount::selective, unfused_attention);
  if (!std::all_of(selective.begin(), selective.end(), [&](RecomputeModule m) { return plan.recomputes(m); })) {
    add("plan.recompute: selective", [&](Plan& p) { p.recompute = selective; });
  }
  if (model.mla && !plan.recomputes(mla_up_projection)) {
    add("plan.recompute: [norm, mla_up_projection, activation]", [](Plan& p) { p.recompute = {norm, mla_up_projection, activation}; });
  }
  if (!plan.recomputes(layer)) add("plan.recompute: full", [](Plan& p) { p.recompute = {layer}; });
  if (plan.recomputes(layer) && plan.recomputed_layers.method == RecomputeMethod::block) {
    add("plan.recompute_method: uniform", [](Plan& p) { p.recomputed_layers = {}; });
  }
  if (plan.sharding == Sharding::none) add("plan.sharding: zero-1", [](Plan& p) { p.sharding = Sharding::zero_1; });
  if (plan.micro_batch_size > 1) {
    add("plan.micro_batch_size: " + std::to_string(plan.micro_batch_size / 2), [](Plan& p) { p.micro_batch_size /= 2; });
  }
  const std::string left_out = !plan.data_parallel && !plan.layers_per_stage ? ""
                               : !plan.layers_per_stage                      ? ", without data_parallel,"
                               : !plan.data_parallel                         ? ", without layers_per_stage,"
                                                                             : ", without data_parallel and layers_per_stage,";
  const auto double_axis = [&](const char* key, std::int64_t Plan::*axis) {
    add(std::string("plan.") + key + ": " + std::to_string(2 * (plan.*axis)) + left_out, [axis](Plan& p) {
      p.*axis *= 2;
      p.data_parallel.reset();
      p.layers_per_stage.reset();
    });
  };
  double_axis("tensor_parallel", &Plan::tensor_parallel);
  double_axis("pipeline_parallel", &Plan::pipeline_parallel);
  double_axis("expert_parallel", &Plan::expert_parallel);
  return out;
}

Bytes peak(const std::vector<StageMemory>& memory) {
  Bytes largest;
  for (const StageMemory& m : memory) largest = std::max(largest, m.peak());
  return largest;
}

std::vector<std::string> what_would_help(const Scenario& scenario, const Timing& timing, const PreparedStep& too_large) {
  const Bytes now = peak(too_large.memory);
  std::vector<std::string> help;
  for (auto& [what, plan] : smaller_plans(scenario.plan, scenario.model, scenario.calibration.stack.runs_apart(UnfusedPart::attention))) {
    Scenario s = scenario;
    s.plan = plan;
    const bool same_tokens = plan.expert_parallel == scenario.plan.expert_parallel &&
                             plan.tensor_parallel == scenario.plan.tensor_parallel &&
                             plan.micro_batch_size == scenario.plan.micro_batch_size;
    const auto outcome = lay_out(s, timing, same_tokens ? std::optional(too_large.load) : std::nullopt);
    const auto* step = std::get_if<PreparedStep>(&outcome);
    if (!step || !(peak(step->memory) < now)) continue;
    const bool fits = peak(step->memory) <= s.cluster.gpu.usable_memory;
    help.push_back(what + " needs " + bytes_text(peak(step->memory)) + (fits ? " and fits" : ", still too much alone"));
  }
  return help;
}

}  // namespace

std::variant<PreparedStep, Infeasible> prepare(const Scenario& scenario, const Timing& timing, const std::optional<ExpertLoad>& known) {
  auto outcome = lay_out(scenario, timing, known);
  auto* step = std::get_if<PreparedStep>(&outcome);
  if (!step) return outcome;
  if (auto why = why_memory_short(step->memory, scenario.cluster.gpu)) {
    why->help = what_would_help(scenario, timing, *step);
    return *why;
  }
  return outcome;
}

}  // namespace trillion
