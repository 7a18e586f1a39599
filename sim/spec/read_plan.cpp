#include <filesystem>

#include "sim/spec/load.h"
#include "sim/spec/recompute_amount.h"

namespace trillion {

namespace {

std::vector<RecomputeModule> read_recompute(YamlReader& r, bool unfused_attention) {
  using enum RecomputeModule;
  // Our names in enum order, then Megatron-LM's (--recompute-modules) for the same modules.
  static constexpr std::array<std::string_view, 14> kWords = {
      "norm",           "mla_up_projection", "activation", "attention", "layer",       "mlp",       "moe",
      "shared_experts", "moe_activation",    "products",   "layernorm", "mla_up_proj", "core_attn", "moe_act"};
  static constexpr std::array<RecomputeModule, 14> kMeanings = {
      norm,           mla_up_projection, activation, attention,         layer,     mlp,           moe, shared_experts,
      moe_activation, products,          norm,       mla_up_projection, attention, moe_activation};
  if (r.kind_of("recompute") == YamlNode::Kind::list) {
    std::vector<RecomputeModule> modules;
    for (const std::size_t word : r.choices<std::size_t>("recompute", kWords).value_or(std::vector<std::size_t>{})) {
      modules.push_back(kMeanings[word]);
    }
    return modules;
  }
  return modules_of(r.choice<RecomputeAmount>("recompute", kRecomputeAmountNames, RecomputeAmount::none), unfused_attention);
}

RankOrder read_rank_order(YamlReader& r) {
  const std::string text = r.text("rank_order", to_text(kMegatronOrder));
  if (const auto order = rank_order_of_text(text)) return *order;
  if (!r.failed("rank_order"))
    r.problem("rank_order", "'" + text + "' is not an order of the axes tp, cp, ep, dp, pp, such as tp-cp-ep-dp-pp");
  return kMegatronOrder;
}

// The schedule moves the answer, so with a pipeline one is asked for; without one there is nothing to schedule. What a file says is
// read where the scenario's folder is known (load_scenario.cpp).
void read_schedule(YamlReader& r, Plan& p) {
  if (r.has("schedule_file")) {
    p.schedule_file = ScheduleFile{r.text("schedule_file"), {}};
    if (r.has("schedule")) r.problem("schedule", "schedule_file says it all: one of the two");
    r.ignore({"schedule"});
    return;
  }
  const bool pipeline = p.pipeline_parallel > 1;
  p.schedule =
      pipeline ? r.choice<ScheduleKind>("schedule", kScheduleNames) : r.choice<ScheduleKind>("schedule", kScheduleNames, p.schedule);
  r.ignore({"schedule_file"});
}

std::vector<Offload> read_offload(YamlReader& r) {
  if (r.kind_of("offload") == YamlNode::Kind::list) return r.choices<Offload>("offload", kOffloadNames).value_or(std::vector<Offload>{});
  enum class Amount { none, optimizer, activations };
  static constexpr std::array<std::string_view, 3> kAmounts = {"none", "optimizer", "activations"};
  const Amount amount = r.choice<Amount>("offload", kAmounts, Amount::none);
  if (amount == Amount::none) return {};
  return {amount == Amount::optimizer ? Offload::optimizer : Offload::activations};
}

OptimizerState read_optimizer_state(YamlReader& r) {
  OptimizerState s;
  s.master_weight_bytes = r.integer("master_weight_bytes", s.master_weight_bytes);
  s.moment_bytes = r.integer("moment_bytes", s.moment_bytes);
  s.gradient_bytes = r.integer("gradient_bytes", s.gradient_bytes);
  s.gradient_reduce_bytes = r.integer("gradient_reduce_bytes", s.gradient_reduce_bytes);
  return s;
}

BatchRamp read_ramp(YamlReader& r) {
  BatchRamp ramp;
  ramp.from = r.integer("from");
  ramp.to = r.integer("to");
  ramp.tokens = r.count("tokens");
  ramp.stairs = r.integer("stairs", ramp.stairs);
  return ramp;
}

// The path is relative to the file that names it; one from the command line to the working directory, where it is there.
std::vector<ExpertCount> read_loads(YamlReader& r) {
  namespace fs = std::filesystem;
  const std::string written = r.text("loads");
  if (r.failed("loads")) return {};
  const SourceLocation where = r.document().location(r.node("loads")->position);
  std::error_code error;
  fs::path path = written;
  if (where.line != 0 || !fs::exists(path, error))
    path = fs::path(where.line != 0 ? where.file : r.document().name()).parent_path() / written;
  if (!fs::is_regular_file(path, error)) {
    r.problem("loads", "there is no file " + path.lexically_normal().string());
    return {};
  }
  try {
    return load_expert_counts(path.lexically_normal().string());
  } catch (const InputError& e) {
    r.diagnostics().add(e);
    return {{0, 0, 1}};  // complained about already
  }
}

Routing read_routing(YamlReader& r) {
  Routing routing;
  routing.balance = r.choice<Balance>("balance", kBalanceNames, routing.balance);
  routing.popularity_skew = r.number("popularity_skew", routing.popularity_skew);
  routing.domain_skew = r.number("domain_skew", routing.domain_skew);
  routing.domains = r.integer("domains", routing.domains);
  routing.bias_update_speed = r.number("bias_update_speed", routing.bias_update_speed);
  if (r.has("capacity_factor")) routing.capacity_factor = r.number("capacity_factor");
  r.ignore({"capacity_factor"});
  routing.pad_to_capacity = r.boolean("pad_to_capacity", routing.pad_to_capacity);
  if (r.has("loads")) routing.loads = read_loads(r);
  r.ignore({"loads"});
  if (r.has("origin") || r.has("source")) routing.provenance = r.provenance();
  r.ignore({"origin", "source"});
  return routing;
}

}  // namespace

Plan read_plan(YamlReader& r, bool unfused_attention) {
  Plan p;
  p.tensor_parallel = r.integer("tensor_parallel", p.tensor_parallel);
  p.sequence_parallel = r.boolean("sequence_parallel", p.sequence_parallel);
  p.context_parallel = r.integer("context_parallel", p.context_parallel);
  p.tensor_parallel_overlap = r.choice<TensorOverlap>("tensor_parallel_overlap", kTensorOverlapNames, p.tensor_parallel_overlap);
  p.context_parallel_method =
      r.choice<ContextParallelMethod>("context_parallel_method", kContextParallelMethodNames, p.context_parallel_method);
  p.pipeline_parallel = r.integer("pipeline_parallel", p.pipeline_parallel);
  p.virtual_pipeline_stages = r.integer("virtual_pipeline_stages", p.virtual_pipeline_stages);
  p.expert_parallel = r.integer("expert_parallel", p.expert_parallel);
  p.expert_tensor_parallel = r.integer("expert_tensor_parallel", p.expert_tensor_parallel);
  if (r.has("data_parallel")) p.data_parallel = r.integer("data_parallel");
  p.micro_batch_size = r.integer("micro_batch_size", p.micro_batch_size);
  p.rank_order = read_rank_order(r);
  read_schedule(r, p);
  p.layers_per_stage = r.integers("layers_per_stage");
  p.sharding = r.choice<Sharding>("sharding", kShardingNames, p.sharding);
  if (r.has("sharding_group")) p.sharding_group = r.integer("sharding_group");
  p.overlap_gradient_reduce = r.boolean("overlap_gradient_reduce", p.overlap_gradient_reduce);
  p.overlap_parameter_gather = r.boolean("overlap_parameter_gather", p.overlap_parameter_gather);
  if (r.has("bucket_parameters")) p.bucket_parameters = r.count("bucket_parameters");
  p.recompute = read_recompute(r, unfused_attention);
  p.recomputed_layers.method = r.choice<RecomputeMethod>("recompute_method", kRecomputeMethodNames, p.recomputed_layers.method);
  p.recomputed_layers.count = r.integer("recompute_num_layers", p.recomputed_layers.count);
  p.offload = read_offload(r);
  p.precision = r.choice<Precision>("precision", kPrecisionNames, p.precision);
  p.expert_placement = r.choice<ExpertPlacement>("expert_placement", kExpertPlacementNames, p.expert_placement);
  p.expert_exchange = r.choice<ExpertExchange>("expert_exchange", kExpertExchangeNames, p.expert_exchange);
  p.redundant_experts = r.integer("redundant_experts", p.redundant_experts);
  r.ignore({"data_parallel", "sharding_group", "bucket_parameters"});
  r.report(p.validate());
  return p;
}

Training read_training(YamlReader& r) {
  Training t;
  t.sequence_length = r.integer("sequence_length");
  t.global_batch_size = r.integer("global_batch_size");
  t.tokens = r.count("tokens", 0);
  t.optimizer = r.text("optimizer", t.optimizer);
  if (auto state = r.optional_mapping("optimizer_state")) t.optimizer_state = read_optimizer_state(*state);
  if (auto ramp = r.optional_mapping("batch_size_schedule")) t.batch_size_schedule = read_ramp(*ramp);
  if (auto routing = r.optional_mapping("routing")) t.routing = read_routing(*routing);
  r.report(t.validate());
  return t;
}

Perturbations read_perturbations(YamlReader& r) {
  Perturbations p;
  for (YamlReader& gpu : r.mappings("slow_gpus")) p.slow_gpus.push_back({gpu.integer("gpu"), gpu.number("slowdown")});
  for (YamlReader& link : r.mappings("slow_links")) {
    p.slow_links.push_back({link.integer("gpu"), link.choice<PerturbedLink>("link", kPerturbedLinkNames), link.number("bandwidth")});
  }
  p.gpu_spread = r.number("gpu_spread", 0.0);
  p.kernel_jitter = r.number("kernel_jitter", 0.0);
  return p;
}

}  // namespace trillion
