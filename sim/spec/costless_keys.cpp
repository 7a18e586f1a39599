#include "sim/spec/model_family.h"

namespace trillion {

void ignore_costless_keys(YamlReader& r) {
  static constexpr std::string_view kKeys[] = {
      // Bookkeeping.
      "architectures", "auto_map", "_name_or_path", "transformers_version", "torch_dtype", "dtype", "quantization_config", "_commit_hash",
      "attn_implementation", "_attn_implementation", "_attn_implementation_autoset", "model_type", "name", "assumed", "is_decoder",
      "is_encoder_decoder", "use_cache", "torchscript", "use_bfloat16", "tokenizer_class", "id2label", "label2id", "problem_type",
      "finetuning_task", "gradient_checkpointing", "use_flash_attn", "use_return_dict", "return_dict", "output_attentions",
      "output_hidden_states", "chunk_size_feed_forward", "pruned_heads", "tf_legacy_loss", "add_cross_attention", "output_past",
      "num_labels", "_num_labels", "cross_attention_hidden_size", "cross_attention_heads", "tie_encoder_decoder", "fused_norm",
      "unsloth_fixed", "use_mamba_kernels", "use_mrope", "mrope_section",
      // Tokens and generation.
      "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id", "bos_token", "eos_token", "temperature",
      "top_k", "top_p", "do_sample", "max_length", "min_length", "max_new_tokens", "num_beams", "num_return_sequences",
      "repetition_penalty", "length_penalty", "task_specific_params", "prefix", "suppress_tokens", "begin_suppress_tokens", "bad_words_ids",
      "early_stopping", "no_repeat_ngram_size", "forced_bos_token_id", "forced_eos_token_id", "typical_p", "diversity_penalty",
      "num_beam_groups", "encoder_no_repeat_ngram_size", "output_scores", "return_dict_in_generate", "remove_invalid_values",
      "exponential_decay_length_penalty",
      // Values inside operations whose shape is fixed.
      "initializer_range", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "rope_theta", "rope_scaling",
      "rope_parameters", "rope_interleave", "rotary_pct", "rotary_emb_base", "partial_rotary_factor", "rope_local_base_freq",
      "attention_dropout", "attention_probs_dropout_prob", "hidden_dropout", "hidden_dropout_prob", "classifier_dropout", "embd_pdrop",
      "attn_pdrop", "resid_pdrop", "dropout", "pretraining_tp", "ep_size", "clip_qkv", "routed_scaling_factor", "norm_topk_prob",
      "router_aux_loss_coef", "aux_loss_alpha", "seq_aux", "output_router_logits", "router_jitter_noise", "router_z_loss_coef",
      "swiglu_limit", "initial_context_length", "scale_attn_weights", "scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn",
      "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj", "n_ctx",
      "use_parallel_residual", "weight_tying", "embedding_size", "max_sequence_length", "num_ctx", "mup", "logits_soft_cap",
      "query_pre_attn_scalar", "attention_multiplier", "residual_multiplier", "logits_scaling", "embedding_multiplier"};
  r.ignore(kKeys);
}

}  // namespace trillion
