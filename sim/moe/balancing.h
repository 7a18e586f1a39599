// How training evens out the experts: the gate of one layer as it stands late in training under a balancing strategy.
#pragma once

#include <cstdint>

#include "sim/moe/gate.h"
#include "sim/spec/training.h"

namespace trillion {

inline constexpr double kBiasUpdateSpeed = 0.001;  // gamma: DeepSeek-V3 report section 4.2 (first 14.3T tokens); Wang et al. Table 3

// The gate of layer `layer` under training.routing's balance; `measured` and `forced` have no router of ours and are not allowed here.
//   none                the affinities as drawn
//   loss_free           the bias iterates: b += gamma sign(mean load - load), see iterate_bias()
//   auxiliary_batch     the loss moves the logits instead; same target (equal loads over the whole data), domains keep their drift
//   auxiliary_sequence  every sequence is pushed towards equal loads: popularity and drift both shrink, by the factors below
Gate balanced_gate(const GateShape& shape, const Routing& routing, std::uint64_t seed, std::uint64_t layer);

struct BiasIteration {
  double stride = kBiasUpdateSpeed;
  std::int64_t steps = 0;
  std::int64_t tokens_per_domain = 0;  // a step's batch
};
// Runs `steps` updates from the gate's present bias and leaves the last one; returns the mean bias over the steps.
// One step: route a batch, count, move every bias by the stride towards the mean load.
std::vector<double> iterate_bias(Gate& gate, const BiasIteration& iteration, const Random& random);

}  // namespace trillion
