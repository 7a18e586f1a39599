#include "sim/moe/balancing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "sim/base/error.h"

namespace trillion {
namespace {

constexpr std::uint64_t kStreamBatch = 0x626174;

// Residual skew under a sequence-wise auxiliary loss, from Wang et al. Table 2 (see the header).
constexpr double kSequencePopularityLeft = 0.35;
constexpr double kSequenceDriftLeft = 0.2;

struct Stride {
  double factor;
  std::int64_t steps;
};
// Training spends thousands of steps at stride gamma before the time we look at; long strides first go the same way in few.
constexpr std::array<Stride, 6> kStrides = {{{32, 8}, {16, 8}, {8, 8}, {4, 8}, {2, 8}, {1, 24}}};
constexpr std::int64_t kTokensPerStep = 1024;

std::vector<double> count_loads(const TokenChoices& choices, std::int64_t experts) {
  std::vector<double> load(static_cast<std::size_t>(experts), 0.0);
  for (const std::uint16_t e : choices.expert) load[e] += 1;
  return load;
}

TokenChoices route_batch(const Gate& gate, std::int64_t tokens_per_domain, const Random& random, std::int64_t step) {
  TokenChoices choices;
  for (std::int64_t d = 0; d < gate.domains(); ++d)
    gate.route({d, (step * gate.domains() + d) * tokens_per_domain, tokens_per_domain}, random, choices);
  return choices;
}

// The bias, averaged over the last and shortest strides: a real batch is thousands of times larger than ours, its noise smaller.
std::vector<double> settled_bias(Gate& gate, const Random& random) {
  const std::int64_t tokens = std::max<std::int64_t>(1, kTokensPerStep / gate.domains());
  std::vector<double> mean;
  std::uint64_t phase = 0;
  for (const Stride& s : kStrides)
    mean = iterate_bias(gate, {s.factor * kBiasUpdateSpeed, s.steps, tokens}, Random(random.bits(phase), phase)), ++phase;
  return mean;
}

}  // namespace

std::vector<double> iterate_bias(Gate& gate, const BiasIteration& iteration, const Random& random) {
  std::vector<double> bias(gate.bias().begin(), gate.bias().end()), sum(bias.size(), 0.0);
  for (std::int64_t step = 0; step < iteration.steps; ++step) {
    const std::vector<double> load = count_loads(route_batch(gate, iteration.tokens_per_domain, random, step), gate.shape().experts);
    const double mean = std::accumulate(load.begin(), load.end(), 0.0) / static_cast<double>(load.size());
    for (std::size_t e = 0; e < bias.size(); ++e) {
      bias[e] += load[e] > mean ? -iteration.stride : load[e] < mean ? iteration.stride : 0.0;
      sum[e] += bias[e];
    }
    gate.set_bias(bias);
  }
  if (iteration.steps > 0)
    for (double& b : sum) b /= static_cast<double>(iteration.steps);
  return iteration.steps > 0 ? sum : bias;
}

Gate balanced_gate(const GateShape& shape, const Routing& routing, std::uint64_t seed, std::uint64_t layer) {
  CHECK(routing.balance != Balance::forced && routing.balance != Balance::measured);
  RouterSkew skew{routing.popularity_skew, routing.domain_skew, routing.domains};
  if (routing.balance == Balance::auxiliary_sequence) {
    skew.popularity *= kSequencePopularityLeft;
    skew.domain *= kSequenceDriftLeft;
  }
  Gate gate(shape, draw_affinities(shape.experts, skew, seed, layer));
  if (routing.balance == Balance::loss_free || routing.balance == Balance::auxiliary_batch)
    gate.set_bias(settled_bias(gate, Random(seed, mix64(kStreamBatch) + layer)));
  return gate;
}

}  // namespace trillion
