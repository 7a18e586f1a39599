#include "sim/handover/megatron_checks.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "sim/base/closest_word.h"
#include "sim/handover/megatron_flags.h"
#include "sim/handover/megatron_words.h"

namespace trillion {
namespace {

// Flags that hold a whole number of the model's shape, and the key of a model file that says the same.
struct ShapeFlag {
  const char* flag;
  const char* key;
  bool needed;  // a model that has it is another one without it
};
constexpr std::array<ShapeFlag, 18> kShape = {{
    {"--num-layers", "num_hidden_layers", true},
    {"--hidden-size", "hidden_size", true},
    {"--ffn-hidden-size", "intermediate_size", false},
    {"--num-attention-heads", "num_attention_heads", true},
    {"--num-query-groups", "num_key_value_heads", true},
    {"--kv-channels", "head_dim", false},
    {"--q-lora-rank", "q_lora_rank", true},
    {"--kv-lora-rank", "kv_lora_rank", true},
    {"--qk-head-dim", "qk_nope_head_dim", false},
    {"--qk-pos-emb-head-dim", "qk_rope_head_dim", false},
    {"--v-head-dim", "v_head_dim", false},
    {"--mtp-num-layers", "num_nextn_predict_layers", true},
    {"--num-experts", "n_routed_experts", true},
    {"--moe-router-topk", "num_experts_per_tok", true},
    {"--moe-ffn-hidden-size", "moe_intermediate_size", false},
    {"--moe-shared-expert-intermediate-size", "n_shared_experts", true},
    {"--moe-router-num-groups", "n_group", false},
    {"--moe-router-group-topk", "topk_group", false},
}};

struct ShapeSwitch {
  const char* flag;
  bool needed;
};
constexpr std::array<ShapeSwitch, 5> kSwitches = {{
    {"--swiglu", true},
    {"--squared-relu", true},
    {"--multi-latent-attention", true},
    {"--untie-embeddings-and-output-weights", true},
    {"--qk-layernorm", false},
}};

const Flag* flag_of(const std::vector<FlagGroup>& groups, const std::string& name) {
  for (const FlagGroup& group : groups) {
    for (const Flag& flag : group.flags) {
      if (flag.name == name) return &flag;
    }
  }
  return nullptr;
}

class ModelCheck {
 public:
  ModelCheck(FlagReader& flags, const Model& model) : flags_(flags), model_(model) {
    std::vector<std::string> notes;
    ours_ = megatron_model_flags(model, notes);
    whole_ = flags_.find("--num-layers") != nullptr;
  }

  void check() {
    for (const ShapeFlag& shape : kShape) number(shape);
    for (const ShapeSwitch& shape : kSwitches) turned_on(shape);
    flags_.has("--group-query-attention");
    vocabulary();
    pattern();
  }

 private:
  void missing(const std::string& name, const Flag& ours) {
    flags_.problem("--num-layers", "the scenario's model " + model_.name + " needs " + flag_text(ours) + ", and the file has no " + name,
                   "the file must describe the scenario's model: give the scenario another model, or add the flag");
  }

  void number(const ShapeFlag& shape) {
    const Flag* ours = flag_of(ours_, shape.flag);
    const bool given = flags_.find(shape.flag) != nullptr;
    if (!given) {
      if (whole_ && shape.needed && ours != nullptr) missing(shape.flag, *ours);
      return;
    }
    const auto theirs = flags_.integer(shape.flag, 0);
    if (!theirs || unused(shape.flag)) return;
    const std::string ours_text = ours != nullptr ? ours->values.front() : default_of(shape.flag);
    if (ours_text == std::to_string(*theirs)) return;
    const std::string key = std::string("model.") + shape.key;
    flags_.problem(shape.flag,
                   std::string(shape.flag) + " " + std::to_string(*theirs) + ", but the scenario's model " + model_.name + " has " +
                       (ours_text.empty() ? "none" : ours_text),
                   "plans are read for the scenario's model: --set " + key + "=" + std::to_string(*theirs) + ", or another model");
  }

  // Of layers that the model does not have.
  bool unused(const std::string& flag) const {
    const bool all_experts = model_.moe && std::find(model_.moe_layers.begin(), model_.moe_layers.end(), false) == model_.moe_layers.end();
    return flag == "--ffn-hidden-size" && all_experts;
  }

  std::string default_of(const std::string& flag) const {
    if (flag == "--num-query-groups" && !model_.mla) return std::to_string(model_.num_key_value_heads);
    if (flag == "--kv-channels" && model_.mla) return std::to_string(model_.mla->v_head_dim);  // with latent attention nobody reads it
    if (flag == "--mtp-num-layers" || flag == "--moe-shared-expert-intermediate-size") return "0";
    if (model_.moe && (flag == "--moe-router-num-groups" || flag == "--moe-router-group-topk")) return "1";
    return {};
  }

  void turned_on(const ShapeSwitch& shape) {
    const Flag* ours = flag_of(ours_, shape.flag);
    const bool given = flags_.has(shape.flag);
    if (given && ours == nullptr) {
      flags_.problem(shape.flag, std::string(shape.flag) + ", but the scenario's model " + model_.name + " is without", {});
    }
    if (!given && ours != nullptr && shape.needed && whole_) missing(shape.flag, *ours);
  }

  // Megatron-LM pads the vocabulary; tokenizers and config.json count differently.
  void vocabulary() {
    const auto theirs = flags_.integer("--vocab-size");
    if (!theirs) return;
    constexpr std::int64_t kPadding = 1024;
    if (std::abs(*theirs - model_.vocab_size) <= kPadding) return;
    flags_.problem("--vocab-size", "--vocab-size " + std::to_string(*theirs) + ", but the scenario's model " + model_.name + " has " +
                                       std::to_string(model_.vocab_size));
  }

  void pattern() {
    const auto text = flags_.text("--moe-layer-freq");
    if (!text) return;
    const auto layers = megatron_moe_layers(*text, model_.num_hidden_layers);
    if (!layers) {
      flags_.problem("--moe-layer-freq", "--moe-layer-freq '" + *text + "' is neither a number nor a list of " +
                                             std::to_string(model_.num_hidden_layers) + " layers such as ([0]*3+[1]*58)");
    } else if (model_.moe && *layers != model_.moe_layers) {
      flags_.problem("--moe-layer-freq",
                     "the scenario's model " + model_.name + " has its experts in " + megatron_pattern(model_.moe_layers));
    }
  }

  FlagReader& flags_;
  const Model& model_;
  std::vector<FlagGroup> ours_;
  bool whole_ = false;  // the file describes a model
};

// Beginnings of names that cost a step neither time nor memory worth counting.
constexpr std::array<std::string_view, 61> kFree = {"--data-",
                                                    "--train-",
                                                    "--valid-",
                                                    "--test-",
                                                    "--tokenizer-",
                                                    "--vocab-file",
                                                    "--merge-file",
                                                    "--split",
                                                    "--num-workers",
                                                    "--mock-data",
                                                    "--no-mmap",
                                                    "--dataloader-",
                                                    "--eod-",
                                                    "--reset-",
                                                    "--no-create-attention-mask",
                                                    "--lr",
                                                    "--min-lr",
                                                    "--weight-decay",
                                                    "--start-weight-decay",
                                                    "--end-weight-decay",
                                                    "--adam-",
                                                    "--clip-grad",
                                                    "--init-method",
                                                    "--seed",
                                                    "--norm-epsilon",
                                                    "--rotary-",
                                                    "--use-rotary-position-embeddings",
                                                    "--log-",
                                                    "--wandb",
                                                    "--tensorboard",
                                                    "--timing-log",
                                                    "--save",
                                                    "--load",
                                                    "--ckpt-",
                                                    "--dist-ckpt",
                                                    "--auto-detect-ckpt",
                                                    "--finetune",
                                                    "--no-load-",
                                                    "--no-save-",
                                                    "--async-save",
                                                    "--eval-",
                                                    "--exit-",
                                                    "--distributed-",
                                                    "--manual-gc",
                                                    "--profile",
                                                    "--use-mcore-models",
                                                    "--transformer-impl",
                                                    "--moe-aux-loss-coeff",
                                                    "--moe-z-loss-coeff",
                                                    "--moe-router-dtype",
                                                    "--moe-router-topk-scaling-factor",
                                                    "--moe-router-pre-softmax",
                                                    "--moe-router-score-function",
                                                    "--mtp-loss-scaling-factor",
                                                    "--mscale",
                                                    "--beta-",
                                                    "--make-vocab-size-divisible-by",
                                                    "--max-position-embeddings",
                                                    "--position-embedding-type",
                                                    "--normalization",
                                                    "--enable-experimental"};
constexpr std::array<std::string_view, 10> kImplied = {"--use-flash-attn",
                                                       "--disable-bias-linear",
                                                       "--add-qkv-bias",
                                                       "--rampup-batch-size",
                                                       "--moe-shared-expert-gate",
                                                       "--accumulate-allreduce-grads-in-fp32",
                                                       "--optimizer",
                                                       "--moe-per-layer-logging",
                                                       "--moe-grouped-gemm",
                                                       "--no-bias-swiglu-fusion"};

bool costs_nothing(std::string_view name) {
  return std::any_of(kFree.begin(), kFree.end(), [&](std::string_view free) { return name.starts_with(free); }) ||
         std::find(kImplied.begin(), kImplied.end(), name) != kImplied.end();
}

// The modelled flag that was meant, where a name is written wrongly: with underscores, or one or two letters off.
std::optional<std::string> meant(const std::string& name, const std::set<std::string>& known) {
  std::string dashes = name;
  std::replace(dashes.begin(), dashes.end(), '_', '-');
  if (known.contains(dashes)) return dashes;
  constexpr int kLetters = 2;
  for (const std::string& one : known) {
    const bool long_enough = one.size() > 8;  // --bf16 and --fp16 are two flags
    if (long_enough && edit_distance(dashes, one) <= kLetters) return one;
  }
  return std::nullopt;
}

}  // namespace

void check_megatron_model(FlagReader& flags, const Model& model) { ModelCheck(flags, model).check(); }

void sort_other_flags(FlagReader& flags, MegatronPlan& to) {
  const std::set<std::string> known = flags.asked();
  for (const GivenFlag& flag : flags.given().flags) {
    const std::string& name = flag.name.text;
    if (known.contains(name)) continue;
    if (flag.name.unknown) {
      to.not_modelled.push_back("a flag whose name the script makes when it runs");
    } else if (costs_nothing(name)) {
      ++to.without_effect;
    } else if (const auto one = meant(name, known)) {
      flags.problem(flag.name, "unknown flag " + name, "did you mean " + *one + "?");
    } else if (std::find(to.not_modelled.begin(), to.not_modelled.end(), name) == to.not_modelled.end()) {
      to.not_modelled.push_back(name);
    }
  }
}

}  // namespace trillion
