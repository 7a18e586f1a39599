#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/handover/hand_over.h"
#include "sim/handover/header_comment.h"

namespace trillion {
namespace {

using Json = nlohmann::ordered_json;

std::string width(std::int64_t bytes) { return bytes == 2 ? "bf16" : "fp32"; }

Json zero(const Plan& p) {
  const double open = std::max(40e6, 1e6 * static_cast<double>(p.sharding_group.value_or(*p.data_parallel)));
  const auto bucket = static_cast<std::int64_t>(p.bucket_parameters.value_or(open));  // Megatron-LM's default, which was simulated
  Json json = {{"stage", static_cast<int>(p.sharding)}, {"overlap_comm", p.overlap_gradient_reduce},
               {"contiguous_gradients", true},          {"reduce_scatter", true},
               {"reduce_bucket_size", bucket},          {"allgather_bucket_size", bucket}};
  if (p.sharding == Sharding::zero_3) {
    json["stage3_prefetch_bucket_size"] = bucket;
    if (p.sharding_group) json["mics_shard_size"] = *p.sharding_group;
  }
  if (p.offloads(Offload::optimizer)) json["offload_optimizer"] = {{"device", "cpu"}, {"pin_memory", true}};
  return json;
}

std::string expert_preset(const Model& model) {
  for (const char* known : {"mixtral", "qwen3_moe", "deepseek_v2", "deepseek_v3"}) {
    if (model.model_type == known) return known;
  }
  return {};
}

Json config(const Scenario& s, const Plan& p) {
  const Training& t = s.training;
  Json json = {{"train_batch_size", t.global_batch_size},
               {"train_micro_batch_size_per_gpu", p.micro_batch_size},
               {"gradient_accumulation_steps", t.global_batch_size / (p.micro_batch_size * *p.data_parallel)},
               {"bf16", {{"enabled", true}}},
               {"data_types", {{"grad_accum_dtype", width(t.optimizer_state.gradient_bytes)}}},
               {"communication_data_type", width(t.optimizer_state.gradient_reduce_bytes)},
               {"zero_optimization", zero(p)}};
  if (p.tensor_parallel > 1) {
    json["tensor_parallel"] = {{"autotp_size", p.tensor_parallel}, {"tp_overlap_comm", p.tensor_parallel_overlap == TensorOverlap::bulk}};
  }
  if (p.context_parallel > 1) {
    json["sequence_parallel_size"] = p.context_parallel;
    json["data_parallel_size"] = *p.data_parallel;
  }
  if (s.model.moe) {
    json["expert_parallel"] = {{"enabled", true}, {"autoep_size", p.expert_parallel}};
    if (const std::string preset = expert_preset(s.model); !preset.empty()) json["expert_parallel"]["preset_model"] = preset;
  }
  if (!p.recompute.empty()) {
    json["activation_checkpointing"] = {
        {"partition_activations", false}, {"contiguous_memory_optimization", false}, {"cpu_checkpointing", false}};
  }
  return json;
}

std::vector<std::string> notes_of(const Scenario& s, const Plan& p) {
  std::vector<std::string> notes = {
      "the optimizer and its learning rate are yours: deepspeed.initialize(optimizer=...) or an \"optimizer\" block"};
  if (p.pipeline_parallel > 1) {
    notes.push_back(
        "a pipeline is no key of ds_config.json: wrap the model in PipelineModule(layers=..., num_stages=" +
        std::to_string(p.pipeline_parallel) + ", partition_method=\"uniform\"" +
        (p.recompute.empty() ? std::string{} : ", activation_checkpoint_interval=" + std::to_string(p.recomputed_layers.count)) + ")");
  } else if (!p.recompute.empty()) {
    notes.push_back(
        "recomputation is the model's: model.gradient_checkpointing_enable(), or deepspeed.checkpointing.checkpoint around each layer");
  }
  const int axes = (p.tensor_parallel > 1) + (p.context_parallel > 1) + (p.pipeline_parallel > 1);
  if (axes > 1)
    notes.push_back(
        "tensor, sequence and pipeline parallelism together need Megatron-DeepSpeed's process groups (deepspeed.initialize(mpu=...))");
  if (s.model.moe && expert_preset(s.model).empty())
    notes.push_back("AutoEP has no preset for " + s.model.model_type + ": name its router, expert and weight patterns");
  return notes;
}

}  // namespace

HandedOver in_deepspeed(const HandedPlan& plan) {
  const Scenario& s = plan.scenario;
  const Expressed nearest = expressed_in_deepspeed(s);
  HandedOver out;
  out.text = config(s, nearest.plan).dump(2) + "\n";
  out.notes = "#!/usr/bin/env bash\n" +
              header_comment(plan, "ds_config.json (deepspeedai/DeepSpeed@edaa722, 2026-08-22)", nearest, notes_of(s, nearest.plan));
  out.notes += "deepspeed --hostfile hostfile --num_nodes " + std::to_string(s.cluster.nodes) + " --num_gpus " +
               std::to_string(s.cluster.gpus_per_node) + " \\\n  train.py --deepspeed --deepspeed_config ds_config.json \"$@\"\n";
  return out;
}

}  // namespace trillion
