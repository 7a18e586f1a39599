#include "sim/handover/hand_over.h"
#include "sim/handover/header_comment.h"
#include "sim/handover/titan_settings.h"

namespace trillion {
namespace {

// TOML's strings and lists are Python's here; truth is written small.
std::string toml(const std::string& python) {
  if (python == "True") return "true";
  if (python == "False") return "false";
  return python;
}

std::string section(const std::string& name, const Settings& settings) {
  std::string text = "\n[" + name + "]\n";
  for (const Setting& s : settings.all()) text += s.path + " = " + toml(s.python) + "\n";
  return text;
}

std::string stages_text(const std::vector<std::vector<std::string>>& stages) {
  std::string text = "[\n";
  for (const auto& modules : stages) text += "    " + python_list(modules) + ",\n";
  return text + "]";
}

Settings parallelism(const Scenario& s, const Plan& p) {
  Settings out = titan_parallelism(s, p);
  out.turn("enable_async_tensor_parallel", p.tensor_parallel_overlap == TensorOverlap::pipelined);
  if (p.pipeline_parallel > 1) {
    out.add("pipeline_parallel_microbatch_size", p.micro_batch_size);
    out.raw("module_fqns_per_model_part", stages_text(titan_stages(p, "output")));
  }
  if (p.context_parallel > 1) out.add("context_parallel_rotate_method", "allgather");
  if (s.model.moe) out.add("expert_tensor_parallel_degree", p.expert_tensor_parallel);
  return out;
}

// With a pipeline, local_batch_size is what a replica's micro-batches are cut from; without one, a model call's.
Settings training(const Scenario& s, const Plan& p) {
  Settings out;
  const std::int64_t local = p.pipeline_parallel > 1 ? p.micro_batch_size * titan_micro_batches(s, p) : p.micro_batch_size;
  return out.add("seq_len", s.training.sequence_length)
      .add("local_batch_size", local)
      .add("global_batch_size", s.training.global_batch_size);
}

}  // namespace

std::string in_torchtitan_toml(const HandedPlan& plan) {
  const Scenario& s = plan.scenario;
  const Expressed nearest = expressed_in_torchtitan(s);
  const Plan& p = nearest.plan;
  const TitanModel model = titan_model(s.model);
  std::vector<std::string> notes = {"later versions read no TOML: --export torchtitan"};
  if (model.function.empty()) notes.push_back("torchtitan ships no " + s.model.name + ": name a flavor of its shape");
  if (p.tensor_parallel > 1 && !p.sequence_parallel) notes.push_back("plan.sequence_parallel false: v0.2.2 always shards the sequence");
  std::string text = header_comment(plan, "torchtitan TOML (pytorch/torchtitan v0.2.2 and before)", nearest, notes);

  Settings name;
  name.add("name", model.module.empty() ? "llama3" : model.module).add("flavor", model.flavor.empty() ? "FLAVOR" : model.flavor);
  if (p.precision == Precision::fp8) name.add("converters", std::vector<std::string>{"quantize.linear.float8"});
  text += section("model", name) + section("training", training(s, p)) + section("parallelism", parallelism(s, p));
  Settings recompute;
  recompute.add("mode", p.recompute.empty() ? "none" : p.recomputes(RecomputeModule::layer) ? "full" : "selective");
  if (!p.recompute.empty() && !p.recomputes(RecomputeModule::layer)) recompute.add("selective_ac_option", "op");
  text += section("activation_checkpoint", recompute);
  if (p.tensor_parallel_overlap == TensorOverlap::pipelined) text += section("compile", Settings{}.turn("enable", true));
  if (s.training.routing.balance == Balance::forced && s.model.moe)
    text += section("debug", Settings{}.turn("moe_force_load_balance", true));
  return text;
}

}  // namespace trillion
