#include "sim/handover/megatron_flags.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "sim/base/error.h"
#include "sim/handover/megatron_words.h"

namespace trillion {
namespace {

class GroupOfFlags {
 public:
  explicit GroupOfFlags(std::string name) : group_{std::move(name), {}} {}
  GroupOfFlags& add(const std::string& name, std::int64_t value) { return add(name, std::to_string(value)); }
  GroupOfFlags& add(const std::string& name, const std::string& value) {
    group_.flags.push_back({name, {value}});
    return *this;
  }
  GroupOfFlags& add(const std::string& name, std::vector<std::string> values) {
    group_.flags.push_back({name, std::move(values)});
    return *this;
  }
  GroupOfFlags& turn_on(const std::string& name, bool on = true) {
    if (on) group_.flags.push_back({name, {}});
    return *this;
  }
  FlagGroup take() { return std::move(group_); }

 private:
  FlagGroup group_;
};

bool stages_are_even(const std::vector<std::int64_t>& layers) {
  return std::all_of(layers.begin(), layers.end(), [&](std::int64_t n) { return n == layers.front(); });
}

FlagGroup parallel_flags(const Scenario& s, const Plan& p) {
  GroupOfFlags g("PARALLEL");
  g.add("--tensor-model-parallel-size", p.tensor_parallel).turn_on("--sequence-parallel", p.sequence_parallel);
  g.turn_on("--tp-comm-overlap", p.tensor_parallel_overlap == TensorOverlap::pipelined);
  g.add("--context-parallel-size", p.context_parallel);
  if (p.context_parallel > 1) g.add("--cp-comm-type", word_for(kMegatronContext, p.context_parallel_method));
  g.add("--pipeline-model-parallel-size", p.pipeline_parallel);
  if (p.pipeline_parallel > 1) {
    if (!stages_are_even(*p.layers_per_stage)) {
      g.add("--pipeline-model-parallel-layout", megatron_layout(*p.layers_per_stage, s.model.num_nextn_predict_layers));
    } else if (p.virtual_pipeline_stages > 1) {
      g.add("--num-virtual-stages-per-pipeline-rank", p.virtual_pipeline_stages);
    }
  }
  if (s.model.moe) g.add("--expert-model-parallel-size", p.expert_parallel).add("--expert-tensor-parallel-size", p.expert_tensor_parallel);
  if (s.model.moe && p.expert_exchange == ExpertExchange::all_to_all) {
    g.add("--moe-token-dispatcher-type", "alltoall");
  } else if (s.model.moe) {
    g.add("--moe-token-dispatcher-type", "flex").add("--moe-flex-dispatcher-backend", "deepep");
  }
  g.turn_on("--use-tp-pp-dp-mapping", p.rank_order == kMegatronOtherOrder);
  return g.take();
}

FlagGroup data_flags(const Plan& p) {
  GroupOfFlags g("DATA_PARALLEL");
  const bool fsdp = p.sharding == Sharding::zero_2 || p.sharding == Sharding::zero_3;
  if (fsdp) {
    g.turn_on("--use-megatron-fsdp").add("--data-parallel-sharding-strategy", word_for(kMegatronFsdp, p.sharding));
    g.add("--ckpt-format", "fsdp_dtensor");
  }
  g.turn_on("--use-distributed-optimizer", p.sharding != Sharding::none);
  if (p.sharding_group) g.add("--num-distributed-optimizer-instances", *p.data_parallel / *p.sharding_group);
  g.turn_on("--overlap-grad-reduce", p.overlap_gradient_reduce);
  g.turn_on("--overlap-param-gather", p.overlap_parameter_gather || p.sharding == Sharding::zero_3);
  if (p.bucket_parameters) g.add("--ddp-bucket-size", static_cast<std::int64_t>(*p.bucket_parameters));
  g.turn_on("--optimizer-cpu-offload", p.offloads(Offload::optimizer));
  return g.take();
}

FlagGroup recompute_flags(const Plan& p) {
  GroupOfFlags g("RECOMPUTE");
  if (p.recompute.empty()) return g.take();
  if (p.recomputes(RecomputeModule::layer)) {
    g.add("--recompute-granularity", "full");
    g.add("--recompute-method", std::string(kRecomputeMethodNames[static_cast<std::size_t>(p.recomputed_layers.method)]));
    g.add("--recompute-num-layers", p.recomputed_layers.count);
    return g.take();
  }
  std::vector<std::string> modules;
  for (const RecomputeModule module : p.recompute) modules.push_back(word_for(kMegatronModules, module));
  g.add("--recompute-granularity", "selective").add("--recompute-modules", modules);
  return g.take();
}

std::vector<Flag> all_flags(const std::vector<FlagGroup>& groups) {
  std::vector<Flag> flags;
  for (const FlagGroup& group : groups) flags.insert(flags.end(), group.flags.begin(), group.flags.end());
  return flags;
}

}  // namespace

std::vector<FlagGroup> megatron_plan_flags(const Scenario& s, const Plan& p) {
  GroupOfFlags batch("MICRO_BATCH");
  batch.add("--micro-batch-size", p.micro_batch_size);
  std::vector<FlagGroup> groups = {batch.take(), parallel_flags(s, p), data_flags(p), recompute_flags(p)};
  groups.erase(std::remove_if(groups.begin(), groups.end(), [](const FlagGroup& g) { return g.flags.empty(); }), groups.end());
  return groups;
}

MegatronFlags megatron_flags(const Scenario& s, const Plan& nearest) {
  MegatronFlags all;
  Scenario said = s;
  said.plan = nearest;
  all.groups = megatron_model_flags(s.model, all.notes);
  for (auto&& groups : {megatron_training_flags(said, all.notes), megatron_plan_flags(s, nearest)}) {
    all.groups.insert(all.groups.end(), groups.begin(), groups.end());
  }
  return all;
}

std::string flag_text(const Flag& flag) {
  std::string text = flag.name;
  for (const std::string& value : flag.values) {
    const bool plain = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("_./:=,+@%-").find(c) != std::string_view::npos;
    });
    std::string quoted = "'";
    for (const char c : value) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    text += " " + (plain ? value : quoted + "'");
  }
  return text;
}

std::string flag_difference(const std::vector<FlagGroup>& from, const std::vector<FlagGroup>& to) {
  const std::vector<Flag> before = all_flags(from), after = all_flags(to);
  std::string text;
  for (const Flag& flag : after) {
    if (std::find(before.begin(), before.end(), flag) == before.end()) text += (text.empty() ? "" : " ") + flag_text(flag);
  }
  for (const Flag& flag : before) {
    const bool kept = std::any_of(after.begin(), after.end(), [&](const Flag& f) { return f.name == flag.name; });
    if (!kept) text += (text.empty() ? "without " : ", without ") + flag.name;
  }
  return text;
}

}  // namespace trillion
