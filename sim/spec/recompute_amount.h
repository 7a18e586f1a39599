// What `recompute: none | selective | full` stands for. `selective` is what is cheap to compute again for the memory it frees: norms and
// activations, or, on a stack without FlashAttention, the attention matrix (Korthikanti et al. 2022, arXiv:2205.05198).
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "sim/spec/plan.h"

namespace trillion {

enum class RecomputeAmount { none, selective, full };
inline constexpr std::array<std::string_view, 3> kRecomputeAmountNames = {"none", "selective", "full"};

// `unfused_attention`: the stack's, Stack::runs_apart.
std::vector<RecomputeModule> modules_of(RecomputeAmount amount, bool unfused_attention);

}  // namespace trillion
