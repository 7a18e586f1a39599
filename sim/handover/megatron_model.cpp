#include <algorithm>

#include "sim/base/number_text.h"
#include "sim/handover/megatron_flags.h"
#include "sim/handover/megatron_words.h"
#include "sim/spec/unit_text.h"

namespace trillion {
namespace {

void add(FlagGroup& g, const std::string& name, std::int64_t value) { g.flags.push_back({name, {std::to_string(value)}}); }
void add(FlagGroup& g, const std::string& name, const std::string& value) { g.flags.push_back({name, {value}}); }
void turn_on(FlagGroup& g, const std::string& name, bool on = true) {
  if (on) g.flags.push_back({name, {}});
}

FlagGroup attention_flags(const Model& m) {
  FlagGroup g{"ATTENTION", {}};
  add(g, "--num-attention-heads", m.num_attention_heads);
  if (m.mla) {
    turn_on(g, "--multi-latent-attention");
    if (m.mla->q_lora_rank) add(g, "--q-lora-rank", *m.mla->q_lora_rank);
    add(g, "--kv-lora-rank", m.mla->kv_lora_rank);
    add(g, "--qk-head-dim", m.mla->qk_nope_head_dim);
    add(g, "--qk-pos-emb-head-dim", m.mla->qk_rope_head_dim);
    add(g, "--v-head-dim", m.mla->v_head_dim);
  } else {
    if (m.num_key_value_heads != m.num_attention_heads) {
      turn_on(g, "--group-query-attention");
      add(g, "--num-query-groups", m.num_key_value_heads);
    }
    add(g, "--kv-channels", m.head_dim);
  }
  turn_on(g, "--qk-layernorm", m.qk_norm);
  if (m.attention_sinks) add(g, "--softmax-type", "learnable");
  return g;
}

// Megatron-LM has one switch for all biases and one for queries, keys and values.
void add_biases(FlagGroup& g, const Model& m, std::vector<std::string>& notes) {
  const bool linear = m.mlp_bias || m.attention_output_bias || (m.moe && m.moe->expert_bias);
  turn_on(g, "--disable-bias-linear", !linear);
  turn_on(g, "--add-qkv-bias", !linear && m.attention_bias);
  const bool all = m.attention_bias && m.attention_output_bias && (m.mlp_bias || (m.moe && m.moe->expert_bias));
  if (linear && !all) notes.push_back("biases: the model has some, Megatron-LM gives every linear layer one");
}

void add_windows(FlagGroup& g, const Model& m, std::vector<std::string>& notes) {
  const auto window = std::find_if(m.sliding_window.begin(), m.sliding_window.end(), [](std::int64_t w) { return w > 0; });
  if (window == m.sliding_window.end()) return;
  add(g, "--window-size", std::to_string(*window - 1) + ",0");
  std::vector<bool> windowed;
  for (const std::int64_t w : m.sliding_window) {
    windowed.push_back(w > 0);
    if (w > 0 && w != *window) notes.push_back("windows: of several widths, Megatron-LM has one");
  }
  if (std::find(windowed.begin(), windowed.end(), false) != windowed.end()) add(g, "--window-attn-skip-freq", megatron_pattern(windowed));
}

FlagGroup network_flags(const Model& m, std::vector<std::string>& notes) {
  FlagGroup g{"MODEL", {}};
  add(g, "--num-layers", m.num_hidden_layers);
  add(g, "--hidden-size", m.hidden_size);
  add(g, "--ffn-hidden-size", m.intermediate_size);
  add(g, "--vocab-size", m.vocab_size);
  turn_on(g, "--untie-embeddings-and-output-weights", !m.tie_word_embeddings);
  add(g, "--normalization", m.normalisation == Normalisation::rms_norm ? "RMSNorm" : "LayerNorm");
  turn_on(g, "--swiglu", m.activation == Activation::swiglu);
  turn_on(g, "--squared-relu", m.activation == Activation::squared_relu);
  add(g, "--position-embedding-type", m.position_encoding == PositionEncoding::rope ? "rope" : "learned_absolute");
  add_biases(g, m, notes);
  add_windows(g, m, notes);
  if (m.num_nextn_predict_layers > 0) add(g, "--mtp-num-layers", m.num_nextn_predict_layers);
  if (m.position_encoding == PositionEncoding::rope)
    notes.push_back("--rotary-base is config.json's rope_theta; the cost does not depend on it");
  if (m.qk_norm_full_width) notes.push_back("norms of queries and keys over their whole width: Megatron-LM has them per head");
  if (!m.norm_weights) notes.push_back("norms without weights: Megatron-LM's have them");
  return g;
}

FlagGroup expert_flags(const Model& m) {
  FlagGroup g{"MOE", {}};
  if (!m.moe) return g;
  const MixtureOfExperts& e = *m.moe;
  add(g, "--num-experts", e.n_routed_experts);
  add(g, "--moe-router-topk", e.num_experts_per_tok);
  add(g, "--moe-ffn-hidden-size", e.moe_intermediate_size);
  if (e.shared_intermediate_size > 0) add(g, "--moe-shared-expert-intermediate-size", e.shared_intermediate_size);
  turn_on(g, "--moe-shared-expert-gate", e.shared_gate);
  add(g, "--moe-layer-freq", megatron_pattern(m.moe_layers));
  add(g, "--moe-router-score-function", e.score == GateScore::sigmoid ? "sigmoid" : "softmax");
  if (e.n_group > 1) {
    add(g, "--moe-router-num-groups", e.n_group);
    add(g, "--moe-router-group-topk", e.topk_group);
  }
  turn_on(g, "--moe-grouped-gemm");
  return g;
}

void add_balance(FlagGroup& g, const Scenario& s, std::vector<std::string>& notes) {
  const Balance balance = s.training.routing.balance;
  if (balance == Balance::forced) {
    turn_on(g, "--moe-router-force-load-balancing");
    return;
  }
  for (const auto& [ours, theirs] : kMegatronBalance) {
    if (ours == balance) add(g, "--moe-router-load-balancing-type", std::string(theirs));
  }
  if (balance == Balance::loss_free) {
    if (s.model.moe->score == GateScore::sigmoid) {
      add(g, "--moe-router-load-balancing-type", "none");
      turn_on(g, "--moe-router-enable-expert-bias");
      add(g, "--moe-router-bias-update-rate", exact_number_text(s.training.routing.bias_update_speed));
    } else {
      add(g, "--moe-router-load-balancing-type", "aux_loss");
      notes.push_back("training.routing.balance loss_free: Megatron-LM's expert bias takes a sigmoid gate only; aux_loss instead");
    }
  }
  if (balance == Balance::measured)
    notes.push_back("training.routing.balance measured: loads of a file are no flag; balancing is left at its default");
}

// Megatron-LM drops tokens beside a balancing loss or none.
void add_capacity(FlagGroup& g, const Routing& routing) {
  if (!routing.capacity_factor) return;
  add(g, "--moe-expert-capacity-factor", exact_number_text(*routing.capacity_factor));
  turn_on(g, "--moe-pad-expert-input-to-capacity", routing.pad_to_capacity);
}

FlagGroup precision_flags(const Scenario& s) {
  FlagGroup g{"PRECISION", {}};
  turn_on(g, "--bf16");
  if (s.plan.precision == Precision::fp8) {
    const bool blocks = s.calibration.stack.fp8.value == DType::fp8_block;
    add(g, "--fp8-format", blocks ? "e4m3" : "hybrid");
    add(g, "--fp8-recipe", blocks ? "blockwise" : s.calibration.stack.runs_apart(UnfusedPart::maximum) ? "tensorwise" : "delayed");
  }
  return g;
}

FlagGroup optimizer_flags(const Scenario& s, std::vector<std::string>& notes) {
  FlagGroup g{"OPTIMIZER", {}};
  const OptimizerState& state = s.training.optimizer_state;
  const bool adam = s.training.optimizer == "adam" || s.training.optimizer == "adamw";
  add(g, "--optimizer", adam ? "adam" : s.training.optimizer);
  const bool narrow = state.moment_bytes != 4 || state.master_weight_bytes != 4 || state.gradient_bytes != 4;
  turn_on(g, "--use-precision-aware-optimizer", narrow || s.plan.offloads(Offload::optimizer));
  if (state.gradient_bytes == 2) add(g, "--main-grads-dtype", "bf16");
  if (state.master_weight_bytes == 2) add(g, "--main-params-dtype", "fp16");
  if (state.moment_bytes == 2 || state.moment_bytes == 1) {
    const std::string type = state.moment_bytes == 2 ? "bf16" : "fp8";
    add(g, "--exp-avg-dtype", type);
    add(g, "--exp-avg-sq-dtype", type);
  }
  turn_on(g, "--grad-reduce-in-bf16", state.gradient_reduce_bytes == 2);
  if (state.master_weight_bytes == 0)
    notes.push_back("training.optimizer_state.master_weight_bytes 0: Megatron-LM always keeps master weights");
  return g;
}

}  // namespace

std::vector<FlagGroup> megatron_model_flags(const Model& m, std::vector<std::string>& notes) {
  std::vector<FlagGroup> groups = {network_flags(m, notes), attention_flags(m)};
  if (m.moe) groups.push_back(expert_flags(m));
  return groups;
}

std::vector<FlagGroup> megatron_training_flags(const Scenario& s, std::vector<std::string>& notes) {
  const Training& t = s.training;
  FlagGroup g{"TRAINING", {}};
  add(g, "--seq-length", t.sequence_length);
  add(g, "--max-position-embeddings", std::max(t.sequence_length, s.model.max_position_embeddings));
  add(g, "--global-batch-size", t.global_batch_size);
  if (t.tokens > 0) add(g, "--train-samples", static_cast<std::int64_t>(t.tokens / static_cast<double>(t.sequence_length)));
  if (t.batch_size_schedule) {
    const BatchRamp& ramp = *t.batch_size_schedule;
    const std::int64_t step = std::max<std::int64_t>(1, (ramp.to - ramp.from) / std::max<std::int64_t>(ramp.stairs, 1));
    g.flags.push_back({"--rampup-batch-size",
                       {std::to_string(ramp.from), std::to_string(step),
                        std::to_string(static_cast<std::int64_t>(ramp.tokens / static_cast<double>(t.sequence_length)))}});
  }
  if (s.model.moe) {
    add_balance(g, s, notes);
    add_capacity(g, s.training.routing);
  }
  std::vector<FlagGroup> groups = {g, precision_flags(s), optimizer_flags(s, notes)};
  return groups;
}

}  // namespace trillion
