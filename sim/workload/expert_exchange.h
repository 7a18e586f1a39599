// The four exchanges of a routed layer over the expert-parallel group: tokens to their experts and back, then their gradients the
// same way. FP8 recipe: tokens and gradients travel to the experts in FP8, results come back in BF16 (DeepSeek-V3 report, 3.3.3).
#pragma once

#include "sim/workload/passes.h"

namespace trillion {

// All empty when the experts of a layer live on one rank.
Exchanges exchanges(const BlockContext& context);

// Megatron-LM's alltoall dispatcher lays out one row per chosen expert before it sends, and adds up what comes back (fused_permute,
// fused_unpermute); DeepEP's kernels do both on their way. `spreads`: from tokens to copies, or back.
void add_copies(Operations& ops, const BlockContext& context, const char* label, bool spreads);

}  // namespace trillion
