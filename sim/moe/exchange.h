// Exchanges that send every copy of a token, as an all-to-all does (Megatron-LM's alltoall dispatcher, torchtitan's default): a token
// travels to each of its experts over that pair of GPUs' own wire, once for every expert, though two of them share a GPU or a node.
// What moe/ draws is DeepEP's way, in which copies for one node cross to it once and fan out from there.
#pragma once

#include <cstdint>

#include "sim/moe/expert_load.h"

namespace trillion {

// The same choices, other wires. Senders are alike and know nothing of where the experts live: a rank gets its share of the copies
// from every other one. `top_k`: experts of a token.
ExpertLoad every_copy_sent(ExpertLoad load, const ExpertGroup& group, std::int64_t top_k);

}  // namespace trillion
