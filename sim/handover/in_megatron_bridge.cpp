#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "sim/handover/hand_over.h"
#include "sim/handover/header_comment.h"
#include "sim/handover/megatron_flags.h"
#include "sim/handover/megatron_words.h"
#include "sim/handover/python_text.h"
#include "sim/spec/unit_text.h"

namespace trillion {
namespace {

// Recipes that NVIDIA-NeMo/Megatron-Bridge@067f987 ships, by the names of our models.
struct Recipe {
  const char* model;
  const char* module;  // of megatron.bridge.recipes
  const char* function;
};
constexpr std::array<Recipe, 14> kRecipes = {{
    {"DeepSeek-V2-Lite", "deepseek.deepseek_v2", "deepseek_v2_lite_pretrain_config"},
    {"DeepSeek-V2", "deepseek.deepseek_v2", "deepseek_v2_pretrain_config"},
    {"DeepSeek-V3", "deepseek.deepseek_v3", "deepseek_v3_pretrain_config"},
    {"gpt-oss-120b", "gpt_oss.gpt_oss", "gpt_oss_120b_pretrain_config"},
    {"GPT-3 175B", "gpt.gpt3_175b", "gpt3_175b_pretrain_config"},
    {"Kimi-K2", "kimi.kimi_k2", "kimi_k2_pretrain_config"},
    {"Llama-2-7B", "llama.llama2", "llama2_7b_pretrain_config"},
    {"Llama-3.1-405B", "llama.llama3", "llama31_405b_pretrain_config"},
    {"Llama-3.1-70B", "llama.llama3", "llama31_70b_pretrain_config"},
    {"Llama-3.1-8B", "llama.llama3", "llama31_8b_pretrain_config"},
    {"Llama-3.2-1B", "llama.llama3", "llama32_1b_pretrain_config"},
    {"Qwen2.5-72B", "qwen.qwen2", "qwen25_72b_pretrain_config"},
    {"Qwen3-235B-A22B", "qwen.qwen3_moe", "qwen3_235b_a22b_pretrain_config"},
    {"Qwen3-30B-A3B", "qwen.qwen3_moe", "qwen3_30b_a3b_pretrain_config"},
}};

std::optional<Recipe> recipe_of(const Model& model) {
  for (const Recipe& recipe : kRecipes) {
    if (model.name == recipe.model) return recipe;
  }
  return std::nullopt;
}

void add_pipeline(Settings& s, const Model& model, const Plan& p) {
  s.add("model.pipeline_model_parallel_size", p.pipeline_parallel);
  if (p.virtual_pipeline_stages > 1) {
    s.add("model.virtual_pipeline_model_parallel_size", p.virtual_pipeline_stages);
  } else {
    s.raw("model.virtual_pipeline_model_parallel_size", "None");
  }
  const std::vector<std::int64_t>& layers = *p.layers_per_stage;
  const bool even = std::all_of(layers.begin(), layers.end(), [&](std::int64_t n) { return n == layers.front(); });
  if (p.pipeline_parallel > 1 && !even) {
    s.add("model.pipeline_model_parallel_layout", megatron_layout(layers, model.num_nextn_predict_layers));
  } else {
    s.raw("model.pipeline_model_parallel_layout", "None");
  }
}

void add_recompute(Settings& s, const Plan& p) {
  if (p.recompute.empty()) {
    s.raw("model.recompute_granularity", "None").raw("model.recompute_method", "None").raw("model.recompute_num_layers", "None");
    return;
  }
  if (p.recomputes(RecomputeModule::layer)) {
    s.add("model.recompute_granularity", "full");
    s.add("model.recompute_method", std::string(kRecomputeMethodNames[static_cast<std::size_t>(p.recomputed_layers.method)]));
    s.add("model.recompute_num_layers", p.recomputed_layers.count);
    return;
  }
  std::vector<std::string> modules;
  for (const RecomputeModule m : p.recompute) modules.push_back(word_for(kMegatronModules, m));
  s.add("model.recompute_granularity", "selective").raw("model.recompute_method", "None").raw("model.recompute_num_layers", "None");
  s.add("model.recompute_modules", modules);
}

std::string mixed_precision(const Scenario& s) {
  if (s.plan.precision == Precision::bf16) return "bf16_mixed";
  if (s.calibration.stack.fp8.value == DType::fp8_block) return "bf16_with_fp8_subchannel_scaling_mixed";
  return s.calibration.stack.runs_apart(UnfusedPart::maximum) ? "bf16_with_fp8_current_scaling_mixed"
                                                              : "bf16_with_fp8_delayed_scaling_mixed";
}

Settings settings_of(const Scenario& scenario, const Plan& p) {
  Settings s;
  s.add("train.micro_batch_size", p.micro_batch_size).add("train.global_batch_size", scenario.training.global_batch_size);
  s.add("dataset.seq_length", scenario.training.sequence_length).add("model.seq_length", scenario.training.sequence_length);
  s.add("model.tensor_model_parallel_size", p.tensor_parallel).turn("model.sequence_parallel", p.sequence_parallel);
  s.add("model.context_parallel_size", p.context_parallel);
  if (p.context_parallel > 1) s.add("model.cp_comm_type", word_for(kMegatronContext, p.context_parallel_method));
  add_pipeline(s, scenario.model, p);
  if (scenario.model.moe) {
    s.add("model.expert_model_parallel_size", p.expert_parallel).add("model.expert_tensor_parallel_size", p.expert_tensor_parallel);
    const bool every_copy = p.expert_exchange == ExpertExchange::all_to_all;
    s.add("model.moe_token_dispatcher_type", every_copy ? "alltoall" : "flex");
    if (!every_copy) s.add("model.moe_flex_dispatcher_backend", "deepep");
    const Routing& routing = scenario.training.routing;
    s.turn("model.moe_router_force_load_balancing", routing.balance == Balance::forced);
    s.raw("model.moe_expert_capacity_factor", routing.capacity_factor ? exact_number_text(*routing.capacity_factor) : "None");
    s.turn("model.moe_pad_expert_input_to_capacity", routing.pad_to_capacity);
    if (routing.balance == Balance::loss_free) s.raw("model.moe_router_bias_update_rate", exact_number_text(routing.bias_update_speed));
  }
  add_recompute(s, p);
  const bool fsdp = p.sharding == Sharding::zero_2 || p.sharding == Sharding::zero_3;
  s.turn("ddp.use_distributed_optimizer", p.sharding != Sharding::none).turn("ddp.overlap_grad_reduce", p.overlap_gradient_reduce);
  s.turn("ddp.overlap_param_gather", p.overlap_parameter_gather || p.sharding == Sharding::zero_3);
  if (fsdp) {
    s.turn("ddp.use_megatron_fsdp", true).add("ddp.data_parallel_sharding_strategy", word_for(kMegatronFsdp, p.sharding));
    s.turn("dist.use_megatron_fsdp", true);
  }
  s.add("ddp.num_distributed_optimizer_instances", p.sharding_group ? *p.data_parallel / *p.sharding_group : 1);
  if (p.bucket_parameters) s.add("ddp.bucket_size", static_cast<std::int64_t>(*p.bucket_parameters));
  s.turn("dist.use_tp_pp_dp_mapping", p.rank_order == kMegatronOtherOrder);
  if (p.offloads(Offload::optimizer)) s.turn("optimizer.optimizer_cpu_offload", true).turn("optimizer.use_precision_aware_optimizer", true);
  Scenario said = scenario;
  said.plan = p;
  s.add("mixed_precision", mixed_precision(said));
  return s;
}

std::string overlap_text(const Plan& p) {
  std::string text = "    cfg.comm_overlap = CommOverlapConfig(\n";
  text += "        tp_comm_overlap=" + python_bool(p.tensor_parallel_overlap == TensorOverlap::pipelined) + ",\n";
  text += "        overlap_grad_reduce=" + python_bool(p.overlap_gradient_reduce) + ",\n";
  text += "        overlap_param_gather=" + python_bool(p.overlap_parameter_gather || p.sharding == Sharding::zero_3) + ",\n";
  return text + "    )\n";
}

// The shape of a model that no recipe is there for, as vanilla_gpt's fields: Megatron-LM's flags under their own names.
std::string shape_text(const Model& model) {
  std::vector<std::string> notes;
  std::string text;
  for (const FlagGroup& group : megatron_model_flags(model, notes)) {
    for (const Flag& flag : group.flags) {
      std::string field = flag.name.substr(2);
      std::replace(field.begin(), field.end(), '-', '_');
      const bool number = flag.values.size() == 1 && flag.values.front().find_first_not_of("0123456789") == std::string::npos;
      const std::string value = flag.values.empty() ? "True" : number ? flag.values.front() : python_text(flag.values.front());
      if (field == "swiglu") {
        text += "    cfg.model.gated_linear_unit, cfg.model.activation_func = True, torch.nn.functional.silu\n";
      } else if (field == "untie_embeddings_and_output_weights") {
        text += "    cfg.model.share_embeddings_and_output_weights = False\n";
      } else if (field == "disable_bias_linear") {
        text += "    cfg.model.add_bias_linear = False\n";
      } else if (field == "num_experts") {
        text += "    cfg.model.num_moe_experts = " + value + "\n";
      } else if (field != "group_query_attention" && field != "squared_relu") {
        text += "    cfg.model." + field + " = " + value + "\n";
      }
    }
  }
  return text;
}

// Hydra reads these as brackets, lists and functions unless they are quoted (facebookresearch/hydra@2c03d1b,
// hydra/grammar/OverrideLexer.g4).
constexpr std::string_view kHydraWords = "()[]{},=";

std::string overrides_text(const Settings& settings) {
  std::string text = "# The same as overrides, behind `scripts/training/run_recipe.py --recipe RECIPE --mode pretrain`:\n";
  std::string line = "#  ";
  for (const Setting& s : settings.all()) {
    const bool quote = s.python.find_first_of("|*[( ") != std::string::npos;
    std::string value = s.python;
    if (value.starts_with("\"") && value.find_first_of(kHydraWords) == std::string::npos) value = value.substr(1, value.size() - 2);
    if (value == "True") value = "true";
    if (value == "False") value = "false";
    if (value == "None") value = "null";
    const std::string word = quote ? "'" + s.path + "=" + value + "'" : s.path + "=" + value;
    if (line.size() + 1 + word.size() > 118) {
      text += line + " \\\n";
      line = "#  ";
    }
    line += " " + word;
  }
  return text + line + "\n";
}

}  // namespace

std::string in_megatron_bridge(const HandedPlan& plan) {
  const Scenario& s = plan.scenario;
  const Expressed nearest = expressed_in_megatron(s);
  const Settings settings = settings_of(s, nearest.plan);
  const auto recipe = recipe_of(s.model);
  std::vector<std::string> notes;
  if (!recipe) notes.push_back("Megatron-Bridge ships no recipe for " + s.model.name + ": vanilla_gpt's with its shape");
  std::string text = header_comment(plan, "Megatron-Bridge recipe (NVIDIA-NeMo/Megatron-Bridge@067f987, 2026-08-22)", nearest, notes);
  const std::string module = recipe ? recipe->module : "gpt.vanilla_gpt",
                    function = recipe ? recipe->function : "vanilla_gpt_pretrain_config";
  if (!recipe) text += "import torch\n";
  text += "from megatron.bridge.recipes." + module + " import " + function + "\n";
  text += "from megatron.bridge.training.comm_overlap import CommOverlapConfig\n";
  text += "from megatron.bridge.training.config import ConfigContainer\n\n\n";
  text += "def " + layout_name(s) + "_config() -> ConfigContainer:\n    cfg = " + function + "()\n";
  if (!recipe) text += shape_text(s.model);
  text += python_assignments(settings, "cfg") + overlap_text(nearest.plan) + "    return cfg\n\n\n";
  return text + overrides_text(settings);
}

}  // namespace trillion
