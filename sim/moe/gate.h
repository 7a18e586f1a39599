// The gate of a mixture of experts at token level: which experts each token chooses. Expert numbers and tokens; no ranks, no time.
//
// MODEL. Affinity of a token of domain d for expert e, in the units of the router's logits:
//     logit = popularity_skew * P[e] + domain_skew * D[d][e] + X[token][e]     P, D standard normal per layer, X standard exponential
// Only the upper tail matters to a top-k, and X has the tail exp(-x) of the Gumbel noise of a softmax choice: the chance of passing a
// threshold is proportional to w = exp(the skew terms) until it reaches 1. So a skew *is* the standard deviation of the experts'
// log-popularity, as training.routing says.
//     score = sigmoid(logit + offset)                      the score the gate sees (DeepSeek-V3 report, eq. 13-15)
//     key   = score + bias[e]                              the bias steers the choice only (loss-free balancing, eq. 16)
// The offset places the k-th of `experts` equal experts at kTypicalScore = 0.5 for sigmoid gates. Softmax is the same formula: p = e^l /
// (e^l + the others), the others at their typical sum, which puts the k-th expert at 1 / (k (ln experts + 0.58)); the order of the
// experts within a token is exact in both.
// Node limit (V3 section 2.1.2; V2 section 2.1.3): experts form `groups` equal blocks; a group scores the sum of its best
// `group_scores` keys; the best `top_groups` groups stay; the top-k keys within them win. Shared experts are not routed: absent here.
//
// SKEW DEFAULTS (spec/training.h), from published routing figures alone; the table at the end of balancing.h shows what each value gives.
//   domain_skew 1.1  Wang et al. (arXiv:2408.15664) Fig. 3: the loss-free MaxVio of a training batch settles at about 0.1-0.2;
//                    DeepSeek-V3 report Fig. 9: relative load up to about 10 times the mean for some expert/domain pairs without
//                    auxiliary loss (the bound of a 64-expert top-6 gate is 10.7)
//   domains 16       assumed: the Pile's subsets are 22 of unequal size. The batch figures hardly depend on it (64 domains: within 5 %)
//   popularity 0.6   assumed; loss-free and batch-wise balancing remove it. With it `auxiliary_sequence` gives Wang et al.'s 0.52-0.72
//
// ARITHMETIC. exp(-X) is uniform in (0, 1): score = W / (W + uniform) with W = w k / E * score / (1 - score) of the typical expert; no
// logarithm. Tokens go side by side in vector registers (AVX-512 or AVX2 where the processor has them; the same operations, hence the same
// bytes, everywhere). A key carries its expert's number in its lowest bits: it is rounded to 2^-16 for 256 experts.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/base/random.h"
#include "sim/spec/model.h"

namespace trillion {

inline constexpr double kTypicalScore = 0.5;

struct GateShape {
  std::int64_t experts = 0;
  std::int64_t top_k = 0;
  std::int64_t groups = 1;
  std::int64_t top_groups = 1;
  std::int64_t group_scores = 1;
  GateScore score = GateScore::sigmoid;

  bool limited() const { return top_groups < groups; }
};

// How fast the score of the last expert chosen rises with its logit, which makes a bias large or small: s (1 - s) for both functions.
double score_slope(const GateShape& shape);

// REQUIRES: validated model (groups divide the experts, top_groups' experts are at least top_k).
GateShape gate_shape(const MixtureOfExperts& moe);

// Log-weights of one layer's router: rows are domains, columns experts.
struct Affinities {
  std::int64_t domains = 0, experts = 0;
  std::vector<double> log_weight;  // [domain][expert]

  double& at(std::int64_t domain, std::int64_t expert) { return log_weight[static_cast<std::size_t>(domain * experts + expert)]; }
  double at(std::int64_t domain, std::int64_t expert) const { return log_weight[static_cast<std::size_t>(domain * experts + expert)]; }
};

struct RouterSkew {
  double popularity = 0;
  double domain = 0;
  std::int64_t domains = 1;
};

// One layer's router before balancing; the same values for one (seed, layer) whatever else is drawn.
Affinities draw_affinities(std::int64_t experts, const RouterSkew& skew, std::uint64_t seed, std::uint64_t layer);

// What a run of tokens chose: token t holds expert[t * top_k .. + top_k), in no particular order, all different.
struct TokenChoices {
  std::int64_t top_k = 0;
  std::vector<std::uint16_t> expert;

  std::int64_t tokens() const { return static_cast<std::int64_t>(expert.size()) / top_k; }
  std::span<const std::uint16_t> of(std::int64_t token) const {
    return std::span(expert).subspan(static_cast<std::size_t>(token * top_k), static_cast<std::size_t>(top_k));
  }
};

// Tokens [first, first + count) of one domain.
struct TokenRange {
  std::int64_t domain = 0;
  std::int64_t first = 0, count = 0;
};

class Gate {
 public:
  // REQUIRES: affinities.experts == shape.experts <= 4096, 1 <= top_k <= experts of top_groups groups, top_k <= 64, groups <= 64.
  Gate(const GateShape& shape, const Affinities& affinities);

  // Replaces the balancing bias, one per expert (zero at first).
  void set_bias(std::span<const double> bias);
  // The same router and bias without the node limit.
  Gate without_limit() const;
  std::span<const double> bias() const { return bias_; }
  const GateShape& shape() const { return shape_; }
  std::int64_t domains() const { return domains_; }

  // Appends the choices of a range of tokens. A token's choice depends on (random, its number, its domain) alone.
  void route(const TokenRange& range, const Random& random, TokenChoices& choices) const;

 private:
  GateShape shape_;
  std::int64_t domains_ = 0;
  std::vector<float> weight_;        // [domain][expert]: W, in units of the noise's 2^-24
  std::vector<double> bias_;         // [expert]
  std::vector<float> shifted_bias_;  // [expert]: all keys positive, so that their bits sort as they do
};

}  // namespace trillion
