#include "sim/handover/hand_over.h"
#include "sim/handover/header_comment.h"
#include "sim/handover/titan_settings.h"

namespace trillion {
namespace {

std::string stages_text(const std::vector<std::vector<std::string>>& stages) {
  std::string text = "    config.parallelism.module_fqns_per_model_part = [\n";
  for (const auto& modules : stages) text += "        " + python_list(modules) + ",\n";
  return text + "    ]\n";
}

std::string recompute_policy(const Plan& p) {
  if (p.recompute.empty()) return "None";
  return p.recomputes(RecomputeModule::layer) ? "FullAC.Config()" : "SelectiveAC.Config()";
}

// Batches are counted in tokens: of one model call on a replica, and of a step.
Settings training(const Scenario& s, const Plan& p) {
  Settings out;
  const std::int64_t length = s.training.sequence_length;
  out.add("max_context_length", length).add("num_tokens_per_microbatch_per_dp_rank", p.micro_batch_size * length);
  return out.add("num_tokens_per_train_step", s.training.global_batch_size * length);
}

std::string flags_text(const Settings& parallelism, const Settings& batch, const Plan& p) {
  std::string text = "# The same as flags, which take precedence (torchtitan calls them frozen; stages have none):\n#  ";
  const auto add = [&](const std::string& section, const Settings& settings) {
    for (const Setting& s : settings.all()) {
      if (text.size() - text.rfind('\n') > 90) text += " \\\n#  ";
      text += " --" + section + "." + s.path + " " + s.python;
    }
  };
  add("parallelism", parallelism);
  add("training", batch);
  const char* policy = p.recompute.empty() ? "None" : p.recomputes(RecomputeModule::layer) ? "full" : "selective";
  return text + " \\\n#   activation-checkpoint:" + policy + "\n";
}

void add_notes(const Scenario& s, const Plan& p, const TitanModel& model, std::vector<std::string>& notes) {
  if (model.function.empty()) notes.push_back("torchtitan ships no configuration of " + s.model.name + ": pass one of its shape");
  if (p.precision == Precision::fp8 && !model.fp8) {
    notes.push_back(
        "plan.precision fp8: give model_registry(...) Float8LinearConverter and Float8GroupedExpertsConverter, as deepseek_v3_671b_float8 "
        "does");
  }
  if (p.expert_parallel > 1 && p.expert_exchange == ExpertExchange::deduplicated) {
    notes.push_back("plan.expert_exchange deduplicated: model_registry(..., moe_comm_backend=\"deepep\"); its default is an all-to-all");
  }
  if (s.training.routing.capacity_factor) notes.push_back("training.routing.capacity_factor: torchtitan drops no tokens");
  if (s.model.num_nextn_predict_layers > 0) {
    notes.push_back("multi-token prediction: model_registry(..., num_mtp_layers=" + std::to_string(s.model.num_nextn_predict_layers) +
                    ") and MTPLoss");
  }
}

}  // namespace

std::string in_torchtitan(const HandedPlan& plan) {
  const Scenario& s = plan.scenario;
  const Expressed nearest = expressed_in_torchtitan(s);
  const Plan& p = nearest.plan;
  const TitanModel model = titan_model(s.model);
  std::vector<std::string> notes;
  add_notes(s, p, model, notes);
  Settings parallelism = titan_parallelism(s, p);
  if (p.tensor_parallel > 1) parallelism.turn("enable_sequence_parallel", p.sequence_parallel);
  if (p.pipeline_parallel > 1) parallelism.add("num_pp_microbatches", titan_micro_batches(s, p));
  const Settings batch = training(s, p);

  std::string text = header_comment(plan, "torchtitan configuration (pytorch/torchtitan@b5bcd76, 2026-08-21)", nearest, notes);
  const std::string policy = recompute_policy(p);
  if (policy != "None") text += "from torchtitan.distributed.activation_checkpoint import " + policy.substr(0, policy.find('.')) + "\n";
  if (!model.function.empty()) text += "from torchtitan.models." + model.module + ".config_registry import " + model.function + "\n";
  const bool undo_fp8 = model.fp8 && p.precision == Precision::bf16;
  if (undo_fp8) text += "from torchtitan.models." + model.module + " import model_registry\n";
  text += "from torchtitan.trainer import Trainer\n\n\n";
  const std::string name = layout_name(s);
  text += model.function.empty() ? "def " + name + "(config: Trainer.Config) -> Trainer.Config:\n"
                                 : "def " + name + "() -> Trainer.Config:\n    config = " + model.function + "()\n";
  if (undo_fp8) text += "    config.model_spec = model_registry(\"" + model.flavor + "\")  # without the converter to FP8\n";
  text += python_assignments(parallelism, "config.parallelism") + python_assignments(batch, "config.training");
  if (p.pipeline_parallel > 1) text += stages_text(titan_stages(p, "lm_head"));
  text += "    config.activation_checkpoint = " + policy + "\n";
  if (p.tensor_parallel > 1) {
    const bool pipelined = p.tensor_parallel_overlap == TensorOverlap::pipelined;
    if (pipelined) text += "    config.compile.enable = True\n";
    text += "    config.compile.enable_async_tensor_parallel = " + python_bool(pipelined) + "\n";
  }
  if (s.training.routing.balance == Balance::forced && s.model.moe) text += "    config.debug.moe_force_load_balance = True\n";
  text += "    return config\n\n\n";
  text +=
      "# Start, in torchtitan's folder with this file as my_runs.py, on every node:\n#   NGPU=" + std::to_string(s.cluster.gpus_per_node) +
      " MODULE=my_runs CONFIG=" + name + " ./run_train.sh\n";
  return text + flags_text(parallelism, batch, p);
}

}  // namespace trillion
