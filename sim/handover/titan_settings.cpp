#include "sim/handover/titan_settings.h"

#include <array>

#include "sim/base/error.h"

namespace trillion {
namespace {

struct Known {
  const char* model;
  const char* module;
  const char* function;
  const char* flavor;
  bool fp8 = false;
};
// pytorch/torchtitan@b5bcd76 torchtitan/models/*/config_registry.py.
constexpr std::array<Known, 6> kKnown = {{
    {"Llama-3.1-8B", "llama3", "llama3_8b", "8B"},
    {"Llama-3.1-70B", "llama3", "llama3_70b", "70B"},
    {"Llama-3.1-405B", "llama3", "llama3_405b", "405B", true},
    {"DeepSeek-V3", "deepseek_v3", "deepseek_v3_671b", "671B"},
    {"Qwen3-30B-A3B", "qwen3", "qwen3_30b_a3b", "30B-A3B"},
    {"gpt-oss-120b", "gpt_oss", "gpt_oss_120b", "120b"},
}};

}  // namespace

TitanModel titan_model(const Model& model) {
  for (const Known& known : kKnown) {
    if (model.name == known.model) return {known.module, known.function, known.flavor, known.fp8};
  }
  return {};
}

std::vector<std::vector<std::string>> titan_stages(const Plan& plan, const std::string& output) {
  std::vector<std::vector<std::string>> stages;
  std::int64_t next = 0;
  for (const std::int64_t layers : *plan.layers_per_stage) {
    std::vector<std::string> modules;
    if (stages.empty()) modules.push_back("tok_embeddings");
    for (std::int64_t i = 0; i < layers; ++i) modules.push_back("layers." + std::to_string(next++));
    stages.push_back(std::move(modules));
  }
  stages.back().push_back("norm");
  stages.back().push_back(output);
  return stages;
}

std::string titan_schedule(const Plan& plan) {
  switch (plan.schedule) {
    case ScheduleKind::gpipe: return "GPipe";
    case ScheduleKind::one_f_one_b: return "1F1B";
    case ScheduleKind::interleaved_1f1b: return "Interleaved1F1B";
    case ScheduleKind::zb_v: return "ZBVZeroBubble";
    case ScheduleKind::dualpipe_v: return "DualPipeV";
    case ScheduleKind::zb_h1:
    case ScheduleKind::zb_h2:
    case ScheduleKind::dualpipe: break;
  }
  throw InternalError("a schedule that torchtitan does not know");
}

Settings titan_parallelism(const Scenario& s, const Plan& p) {
  Settings out;
  const std::int64_t group = p.sharding == Sharding::none ? 1 : p.sharding_group.value_or(*p.data_parallel);
  out.add("data_parallel_replicate_degree", *p.data_parallel / group).add("data_parallel_shard_degree", group);
  if (p.sharding != Sharding::none) out.add("fsdp_reshard_after_forward", p.sharding == Sharding::zero_3 ? "always" : "never");
  out.add("tensor_parallel_degree", p.tensor_parallel).add("context_parallel_degree", p.context_parallel);
  out.add("pipeline_parallel_degree", p.pipeline_parallel);
  if (p.pipeline_parallel > 1) {
    if (p.schedule_file) {
      out.add("pipeline_parallel_schedule", "_PipelineScheduleRuntime").add("pipeline_parallel_schedule_csv", p.schedule_file->path);
    } else {
      out.add("pipeline_parallel_schedule", titan_schedule(p));
    }
  }
  if (s.model.moe) out.add("expert_parallel_degree", p.expert_parallel);
  return out;
}

std::int64_t titan_micro_batches(const Scenario& s, const Plan& p) {
  return s.training.global_batch_size / (*p.data_parallel * p.micro_batch_size);
}

}  // namespace trillion
