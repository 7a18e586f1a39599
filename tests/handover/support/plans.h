// Scenarios with plans as they come out of a simulation, drawn at random or by hand, and words on what they are handed over as.
#pragma once

#include <string>

#include "sim/base/random.h"
#include "sim/handover/hand_over.h"
#include "sim/workload/stage.h"
#include "tests/support/linear_machine.h"

namespace trillion::testing_support {

// DeepSeek's kind: latent attention, a dense layer first, groups of experts, multi-token prediction.
inline Model latent_model(std::int64_t layers) {
  Model m = moe_model(layers);
  m.name = "latent";
  m.model_type = "deepseek_v3";
  m.num_key_value_heads = m.num_attention_heads;
  m.mla = LatentAttention{1536, 512, 128, 64, 128};
  m.moe->n_group = 8;
  m.moe->topk_group = 4;
  m.moe->score = GateScore::sigmoid;
  m.moe_layers.front() = false;
  m.num_nextn_predict_layers = 1;
  return m;
}

// A choice among `count`, a pure function of seed and call.
class Chooser {
 public:
  explicit Chooser(std::uint64_t seed) : random_(seed, 5) {}
  std::int64_t below(std::int64_t count) { return static_cast<std::int64_t>(random_.bits(next_++) % static_cast<std::uint64_t>(count)); }
  bool coin() { return below(2) == 1; }
  std::int64_t power_of_two(std::int64_t most) { return std::int64_t{1} << below(most); }

 private:
  Random random_;
  std::uint64_t next_ = 0;
};

inline std::vector<RecomputeModule> chosen_modules(Chooser& choose, const Model& model) {
  using enum RecomputeModule;
  if (choose.below(4) == 0) return {layer};
  std::vector<RecomputeModule> modules;
  for (const RecomputeModule m : {norm, activation, attention, mlp, moe, shared_experts, moe_activation, mla_up_projection}) {
    const bool has = (model.moe || (m != moe && m != shared_experts && m != moe_activation)) && (model.mla || m != mla_up_projection);
    if (has && choose.below(3) == 0) modules.push_back(m);
  }
  return modules;
}

// A plan that Plan::validate() accepts on as many GPUs as it takes, everything resolved.
inline Scenario random_scenario(std::uint64_t seed) {
  Chooser choose(seed);
  const std::int64_t layers = 8 + choose.below(40);
  const std::int64_t kind = choose.below(3);
  while (true) {
    Plan p;
    p.tensor_parallel = choose.power_of_two(4);
    p.sequence_parallel = p.tensor_parallel > 1 && choose.coin();
    p.tensor_parallel_overlap = static_cast<TensorOverlap>(choose.below(3));
    p.context_parallel = choose.power_of_two(3);
    p.context_parallel_method = static_cast<ContextParallelMethod>(choose.below(3));
    p.pipeline_parallel = choose.power_of_two(4);
    p.schedule = static_cast<ScheduleKind>(choose.below(8));
    if (p.schedule == ScheduleKind::interleaved_1f1b) p.virtual_pipeline_stages = 1 + choose.below(4);
    p.data_parallel = 8 * choose.power_of_two(3);
    p.expert_parallel = kind == 0 ? 1 : choose.power_of_two(4);
    p.expert_tensor_parallel = kind == 0 ? 1 : choose.power_of_two(2);
    p.micro_batch_size = 1 + choose.below(3);
    if (choose.coin()) p.rank_order = {RankAxis::tensor, RankAxis::context, RankAxis::expert, RankAxis::pipeline, RankAxis::data};
    p.sharding = static_cast<Sharding>(choose.below(4));
    if (p.sharding != Sharding::none && choose.coin()) p.sharding_group = *p.data_parallel / choose.power_of_two(3);
    p.overlap_gradient_reduce = choose.coin();
    p.overlap_parameter_gather = choose.coin();
    if (choose.coin()) p.bucket_parameters = 1e6 * static_cast<double>(1 + choose.below(100));
    if (choose.coin()) p.offload = {Offload::optimizer};
    p.precision = static_cast<Precision>(choose.below(2));
    p.expert_placement = static_cast<ExpertPlacement>(choose.below(4));
    p.expert_exchange = static_cast<ExpertExchange>(choose.below(2));
    const Model model = kind == 0 ? dense_model(layers) : kind == 1 ? moe_model(layers) : latent_model(layers);
    p.recompute = chosen_modules(choose, model);
    if (p.recomputes(RecomputeModule::layer)) p.recomputed_layers = {static_cast<RecomputeMethod>(choose.below(2)), 1 + choose.below(4)};
    const std::int64_t stages = stage_count(p);
    std::vector<std::int64_t> split(static_cast<std::size_t>(stages), 0);
    const bool even = choose.coin() && layers % stages == 0;
    for (std::int64_t i = 0; i < layers; ++i) ++split[static_cast<std::size_t>(even ? i % stages : choose.below(stages))];
    p.layers_per_stage = split;
    const std::int64_t gpus = p.tensor_parallel * p.context_parallel * p.pipeline_parallel * *p.data_parallel;
    if (!p.validate().empty() || gpus % (p.expert_parallel * p.expert_tensor_parallel * p.pipeline_parallel) != 0) continue;
    return linear_scenario(model, p, gpus / 8, *p.data_parallel * p.micro_batch_size * 8);
  }
}

// What a simulation of it might have come out at.
inline HandedPlan handed(const Scenario& s) {
  StepResult step;
  step.time = Seconds{10};
  step.tokens = static_cast<double>(s.training.global_batch_size * s.training.sequence_length);
  step.model_flops_causal = Flops{4e14 * 10 * static_cast<double>(s.cluster.gpus())};
  step.data_parallel = s.plan.data_parallel.value_or(1);
  if (s.plan.layers_per_stage) step.layers_per_stage = *s.plan.layers_per_stage;
  step.memory.resize(1);
  step.memory.front().parameters = 12.0 * kGiB;
  return {resolved(s, step), step, {}};
}

// DeepSeek-V3's own plan in small: 8 stages, experts on 8 GPUs, DualPipe.
inline Scenario dualpipe_scenario() {
  Plan p;
  p.pipeline_parallel = 4;
  p.expert_parallel = 8;
  p.schedule = ScheduleKind::dualpipe;
  p.data_parallel = 16;
  p.layers_per_stage = {3, 4, 4, 4};
  p.recompute = {RecomputeModule::norm, RecomputeModule::activation};
  p.precision = Precision::fp8;
  return linear_scenario(latent_model(15), p, 8, 128);
}

}  // namespace trillion::testing_support
