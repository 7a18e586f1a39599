// How training evens out the experts: the gate of one layer as it stands late in training under a balancing strategy.
#pragma once

#include <cstdint>

#include "sim/moe/gate.h"
#include "sim/spec/training.h"

namespace trillion {

// The gate of layer `layer` under training.routing's balance. `measured` and `forced` have no router of ours: not allowed here.
//   none                the affinities as drawn
//   loss_free           the bias iterates: b += gamma sign(mean load - load), see iterate_bias(); equal loads over the whole data, every
//                       domain keeps its favourites. It starts from where thousands of steps settle and swings by gamma =
//                       routing.bias_update_speed around it
//   auxiliary_batch     every batch is pulled towards equal loads, every domain keeps its favourites (moe/auxiliary_loss.h)
//   auxiliary_sequence  every sequence is, hence every domain, and less strongly
Gate balanced_gate(const GateShape& shape, const Routing& routing, std::uint64_t seed, std::uint64_t layer);

// A step's batch: `sequences` sequences of `tokens_per_sequence` tokens, each of one domain.
struct BiasIteration {
  double stride = kBiasUpdateSpeed;
  std::int64_t steps = 0;
  std::int64_t sequences = 0;
  std::int64_t tokens_per_sequence = 0;
  bool even_domains = true;  // every domain has its share of the sequences; else each sequence draws its domain
};
// Runs `steps` updates from the gate's present bias and leaves the last one; returns the mean bias over the steps.
// One step: route a batch, count, move every bias by the stride towards the mean load.
std::vector<double> iterate_bias(Gate& gate, const BiasIteration& iteration, const Random& random);

}  // namespace trillion

// WHAT THE SKEWS GIVE. Wang et al.'s gate (64 experts, top-6, no groups; batches of 1152 sequences [count from memory]; 16 domains, bias
// really iterated at gamma = 0.001 for 300 batches of random domain mix), then DeepSeek-V3's micro-batch (256 experts, top-8 of 4 nodes, 64
// ranks, 64 sequences), max over mean:
//     domain_skew   MaxVio_global  MaxVio_batch  largest expert/domain load    V3: expert  GPU   NIC
//        0.5            0.03           0.05             4.0 x mean                 1.22   1.09  1.07
//        0.8            0.03           0.07             7.0                        1.37   1.14  1.12
//        1.1            0.04           0.10             9.2                        1.51   1.19  1.17
//        1.4            0.03           0.12            10.4                        1.68   1.24  1.20
//     published         0.04        0.1 - 0.2        up to about 10
// 1.1 is the default: the smallest skew that agrees with all three. 0.8 to 1.4 is its range, hence GPU 1.14 - 1.24, NIC 1.12 - 1.20.
// MaxVio_global was not used to choose anything: it follows from gamma, the batches' noise and the score's slope at kTypicalScore
// (assumed); about 0.02 of it is this measurement's own sampling noise. What could lower the truth: packed sequences of several documents,
// V3's additional sequence-wise loss of weight 1e-4. What could raise it: similar sequences next to each other in the data.
