// Megatron-LM's words for ours, in both directions. Checked against NVIDIA/Megatron-LM@d98e8a6 (2026-08-22): megatron/training/
// arguments.py, core/transformer/transformer_config.py, core/model_parallel_config.py.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sim/base/error.h"
#include "sim/spec/plan.h"
#include "sim/spec/training.h"

namespace trillion {

inline constexpr const char* kMegatronVersion = "NVIDIA/Megatron-LM@d98e8a6 (2026-08-22)";

// Theirs for ours; the plan must be one that Megatron-LM can express (expressed.h).
template <class Enum, std::size_t kCount>
std::string word_for(const std::array<std::pair<Enum, std::string_view>, kCount>& words, Enum value) {
  for (const auto& [ours, theirs] : words) {
    if (ours == value) return std::string(theirs);
  }
  throw InternalError("a plan that Megatron-LM has no word for");
}

// --recompute-modules. Our `activation` has no word of its own: the experts' part of it is moe_act.
inline constexpr std::array<std::pair<RecomputeModule, std::string_view>, 7> kMegatronModules = {{
    {RecomputeModule::norm, "layernorm"},
    {RecomputeModule::mla_up_projection, "mla_up_proj"},
    {RecomputeModule::attention, "core_attn"},
    {RecomputeModule::mlp, "mlp"},
    {RecomputeModule::moe, "moe"},
    {RecomputeModule::shared_experts, "shared_experts"},
    {RecomputeModule::moe_activation, "moe_act"},
}};

// --cp-comm-type
inline constexpr std::array<std::pair<ContextParallelMethod, std::string_view>, 3> kMegatronContext = {{
    {ContextParallelMethod::all_gather, "allgather"},
    {ContextParallelMethod::ring, "p2p"},
    {ContextParallelMethod::all_to_all, "a2a"},
}};

// --data-parallel-sharding-strategy of --use-megatron-fsdp
inline constexpr std::array<std::pair<Sharding, std::string_view>, 4> kMegatronFsdp = {{
    {Sharding::none, "no_shard"},
    {Sharding::zero_1, "optim"},
    {Sharding::zero_2, "optim_grads"},
    {Sharding::zero_3, "optim_grads_params"},
}};

// --moe-router-load-balancing-type; what has no loss of its own is said by other flags.
inline constexpr std::array<std::pair<Balance, std::string_view>, 3> kMegatronBalance = {{
    {Balance::auxiliary_sequence, "seq_aux_loss"},
    {Balance::auxiliary_batch, "aux_loss"},
    {Balance::none, "none"},
}};

// Of --use-tp-pp-dp-mapping.
inline constexpr RankOrder kMegatronOtherOrder = {RankAxis::tensor, RankAxis::context, RankAxis::expert, RankAxis::pipeline,
                                                  RankAxis::data};

// The cut of a model as --pipeline-model-parallel-layout: E embedding, t decoder layer, m multi-token prediction, L loss, | between
// stages, x*n and (...)*n repeated. Stages stand in forward order: first chunks of all ranks, then the second.
std::string megatron_layout(const std::vector<std::int64_t>& layers_per_stage, std::int64_t mtp_layers);

struct MegatronCut {
  std::vector<std::int64_t> layers_per_stage;
  std::int64_t mtp_layers = 0;
  bool ends_in_place = true;  // embedding opens the first stage; multi-token prediction and loss close the last
};
// Empty for text that is no layout: `problem` says why.
std::optional<MegatronCut> cut_of_megatron_layout(std::string_view text, std::string& problem);

// --moe-layer-freq: a number n (every n-th layer, the first among them) or a Python list expression such as ([0]*3+[1]*58).
// One entry per layer; empty for what is neither or has another length.
std::optional<std::vector<bool>> megatron_moe_layers(std::string_view text, std::int64_t layers);
std::string megatron_pattern(const std::vector<bool>& layers);  // "([0]*3+[1]*58)"

}  // namespace trillion
