// What an auxiliary balancing loss leaves of a router's skew: the equilibrium between it and the model's own loss.
//
// The balancing loss alpha sum_e f_e p_e (Switch, arXiv:2101.03961, eq. 4; DeepSeek-V2 report, section 2.1.3) pulls a token's affinity for
// expert e by its present load f_e, over the mean; the model's loss pulls it back to what it learnt, x0 (moe/gate.h). To first order both
// pulls are linear, so that affinities come to rest at
//     x = x0 - g (f(x) - 1)                 g: the balancing loss's pull over the model's
// What tells the strategies apart is whose load the loss sees. Sequence-wise it is the sequence's own, hence its domain's: every domain is
// flattened. Batch-wise it is all domains' together: only what they have in common is, and every domain keeps its favourites.
// An expert of weight w = exp(x) is among a token's top k with probability 1 - exp(-c w), c such that k are (exponential races; the node
// limit is left out): f = (1 - exp(-c w)) experts / k.
#pragma once

#include <cstdint>

#include "sim/moe/gate.h"

namespace trillion {

// Wang et al. (arXiv:2408.15664) Table 2: a sequence-wise loss of alpha = 0.001 leaves MaxVio_global 0.72 (1B) and 0.52 (3B).
inline constexpr double kSequenceLossPull = 1.6;
// DeepSeek-V3 report, section 4.5.3: the batch-wise loss is set so strong that a batch is as even as without a loss.
inline constexpr double kBatchLossPull = 50;

// Each domain by its own loads, or all by their mean.
Affinities after_sequence_loss(const Affinities& learnt, std::int64_t top_k, double pull);
Affinities after_batch_loss(const Affinities& learnt, std::int64_t top_k, double pull);

}  // namespace trillion
