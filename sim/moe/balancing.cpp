#include "sim/moe/balancing.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "sim/base/error.h"
#include "sim/moe/auxiliary_loss.h"
#include "sim/moe/load_statistics.h"

namespace trillion {
namespace {

constexpr std::uint64_t kStreamBatch = 0x626174;

struct Stride {
  double factor;
  std::int64_t steps, tokens;
};
// Training spends thousands of steps at stride gamma before the time we look at; long strides go the same way in few. The last ones are
// averaged. Measured (256 experts, top-8): loads over the whole data then deviate by 2.9 % (standard deviation), 1.5 % with 10 times the
// tokens; the published residual is 1.6 % (MaxVio 0.04 of 64 experts). In quadrature with a micro-batch's 16 % it adds 1.6 % of that.
constexpr std::array<Stride, 3> kStrides = {{{32, 8, 256}, {16, 16, 256}, {8, 96, 512}}};
// Where the strides' average stands, the run's own speed takes over: what it adds is its swing around the settled bias. One step more
// or less changes the side that every expert is on, so a few steps show it whole.
constexpr std::int64_t kLiveSteps = 16, kLiveTokens = 512;

std::vector<double> count_loads(const TokenChoices& choices, std::int64_t experts) {
  std::vector<double> load(static_cast<std::size_t>(experts), 0.0);
  for (const std::uint16_t e : choices.expert) load[e] += 1;
  return load;
}

// Sequences per domain in one step's batch.
std::vector<std::int64_t> draw_mix(const BiasIteration& iteration, std::int64_t domains, const Random& random, std::int64_t step) {
  std::vector<std::int64_t> mix(static_cast<std::size_t>(domains), iteration.even_domains ? iteration.sequences / domains : 0);
  if (iteration.even_domains) return mix;
  for (std::int64_t s = 0; s < iteration.sequences; ++s) {
    const std::uint64_t draw = random.bits(static_cast<std::uint64_t>(step * iteration.sequences + s));
    ++mix[draw % static_cast<std::uint64_t>(domains)];
  }
  return mix;
}

TokenChoices route_batch(const Gate& gate, const BiasIteration& iteration, const Random& random, std::int64_t step) {
  const Random tokens(random.bits(1), 1), domains(random.bits(2), 2);
  TokenChoices choices;
  std::int64_t next = step * iteration.sequences * iteration.tokens_per_sequence;
  const std::vector<std::int64_t> mix = draw_mix(iteration, gate.domains(), domains, step);
  for (std::int64_t d = 0; d < gate.domains(); ++d) {
    const std::int64_t count = mix[static_cast<std::size_t>(d)] * iteration.tokens_per_sequence;
    gate.route({d, next, count}, tokens, choices);
    next += count;
  }
  return choices;
}

void settle_bias(Gate& gate, double speed, const Random& random) {
  const double relative_slope = score_slope(gate.shape()) / (kTypicalScore * (1 - kTypicalScore));  // a softmax's scores are small
  std::uint64_t phase = 0;
  for (const Stride& s : kStrides) {
    const BiasIteration iteration{s.factor * kBiasUpdateSpeed * relative_slope, s.steps, gate.domains(),
                                  std::max<std::int64_t>(1, s.tokens / gate.domains())};
    const std::vector<double> mean = iterate_bias(gate, iteration, Random(random.bits(phase), phase));
    if (&s == &kStrides.back()) gate.set_bias(mean);
    ++phase;
  }
  if (speed <= 0) return;
  iterate_bias(gate, {speed, kLiveSteps, gate.domains(), std::max<std::int64_t>(1, kLiveTokens / gate.domains())},
               Random(random.bits(phase), phase));
}

}  // namespace

std::vector<double> iterate_bias(Gate& gate, const BiasIteration& iteration, const Random& random) {
  std::vector<double> bias(gate.bias().begin(), gate.bias().end()), sum(bias.size(), 0.0);
  for (std::int64_t step = 0; step < iteration.steps; ++step) {
    const std::vector<double> load = count_loads(route_batch(gate, iteration, random, step), gate.shape().experts);
    const double mean = sum_of(load) / static_cast<double>(load.size());
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
  const RouterSkew skew{routing.popularity_skew, routing.domain_skew, routing.domains};
  Affinities affinities = draw_affinities(shape.experts, skew, seed, layer);
  if (routing.balance == Balance::auxiliary_sequence) affinities = after_sequence_loss(affinities, shape.top_k, kSequenceLossPull);
  if (routing.balance == Balance::auxiliary_batch) affinities = after_batch_loss(affinities, shape.top_k, kBatchLossPull);
  Gate gate(shape, affinities);
  if (routing.balance == Balance::loss_free) settle_bias(gate, routing.bias_update_speed, Random(seed, mix64(kStreamBatch) + layer));
  return gate;
}

}  // namespace trillion
