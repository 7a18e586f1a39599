#include "sim/moe/gate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "sim/base/error.h"

namespace trillion {
namespace {

constexpr double kCandidates = 24;  // expected draws per batch: fewer leave more tokens unsettled, more cost time on every token
constexpr std::size_t kPoissonEntries = 96;
constexpr double kSmallestMargin = 1e-3;  // keeps every expert's candidate rate above zero, so that a long race reaches all of them

constexpr std::uint64_t kStreamPopularity = 0x706f70;
constexpr std::uint64_t kStreamDomain = 0x646f6d;

double typical_score(const GateShape& shape) {
  if (shape.score == GateScore::sigmoid) return kTypicalScore;
  // Arrivals of an equal race lie near 1/E, 2/E, ...: shares E/1, E/2, ... of a sum near E (ln E + 0.577).
  const double experts = static_cast<double>(shape.experts);
  return 1.0 / (static_cast<double>(shape.top_k) * (std::log(experts) + 0.577) + 1.0);
}

double score_slope(const GateShape& shape) {
  const double experts = static_cast<double>(shape.experts);
  const double share = std::min(static_cast<double>(shape.top_k) / experts, 1.0 - 0.5 / experts);
  return (1.0 / typical_score(shape) - 1.0) / -std::log1p(-share);
}

// A gate whose tokens take a large part of the experts gains nothing from sparse candidates.
bool small_gate(const GateShape& shape) { return 4 * shape.top_k > shape.experts / shape.groups * shape.top_groups || shape.experts <= 32; }

std::vector<std::uint32_t> poisson_table() {
  std::vector<std::uint32_t> cumulative(kPoissonEntries);
  double probability = std::exp(-kCandidates), sum = 0;
  for (std::size_t n = 0; n < kPoissonEntries; ++n) {
    sum += probability;
    probability *= kCandidates / static_cast<double>(n + 1);
    cumulative[n] = static_cast<std::uint32_t>(std::min(sum * 4294967296.0, 4294967295.0));
  }
  cumulative.back() = 0xffffffffu;
  return cumulative;
}

}  // namespace

GateShape gate_shape(const MixtureOfExperts& moe) {
  GateShape shape;
  shape.experts = moe.n_routed_experts;
  shape.top_k = moe.num_experts_per_tok;
  shape.groups = std::max<std::int64_t>(1, moe.n_group);
  shape.top_groups = std::clamp<std::int64_t>(moe.topk_group, 1, shape.groups);
  shape.group_scores = std::max<std::int64_t>(1, moe.topk_group_scores);
  shape.score = moe.score;
  return shape;
}

Affinities draw_affinities(std::int64_t experts, const RouterSkew& skew, std::uint64_t seed, std::uint64_t layer) {
  Affinities result{skew.domains, experts, std::vector<double>(static_cast<std::size_t>(skew.domains * experts))};
  const Random popularity(seed, mix64(kStreamPopularity) + layer), drift(seed, mix64(kStreamDomain) + layer);
  for (std::int64_t d = 0; d < skew.domains; ++d)
    for (std::int64_t e = 0; e < experts; ++e)
      result.at(d, e) = skew.popularity * popularity.normal(static_cast<std::uint64_t>(e)) +
                        skew.domain * drift.normal(static_cast<std::uint64_t>(d * experts + e));
  return result;
}

// What one token has drawn so far, and the room to choose from it.
struct Gate::Scratch {
  explicit Scratch(const GateShape& shape)
      : shape_(shape),
        per_group_(shape.experts / shape.groups),
        seen_(static_cast<std::size_t>(shape.experts), 0),
        group_of_(static_cast<std::size_t>(shape.experts)),
        expert_(static_cast<std::size_t>(shape.experts)),
        key_(static_cast<std::size_t>(shape.experts)),
        eligible_(static_cast<std::size_t>(shape.experts)),
        eligible_key_(static_cast<std::size_t>(shape.experts)),
        best_(static_cast<std::size_t>(shape.groups * shape.group_scores)),
        found_(static_cast<std::size_t>(shape.groups)),
        upper_(static_cast<std::size_t>(shape.groups)),
        chosen_(static_cast<std::size_t>(shape.groups), 1) {
    for (std::int64_t e = 0; e < shape.experts; ++e) group_of_[static_cast<std::size_t>(e)] = static_cast<std::uint16_t>(e / per_group_);
  }

  void start_token() {
    ++token_;
    count_ = 0;
  }

  bool has(std::size_t e) const { return seen_[e] == token_; }

  // An expert that arrives again keeps its larger key.
  void add(std::uint16_t e, float key) {
    if (seen_[e] != token_) {
      seen_[e] = token_;
      expert_[count_] = e;
      key_[count_++] = key;
      return;
    }
    for (std::size_t i = 0; i < count_; ++i)
      if (expert_[i] == e) key_[i] = std::max(key_[i], key);
  }

  // Whether no expert with a key below `bound` could change the choice; then chosen() holds it.
  bool settle(float bound) {
    if (shape_.limited() && !choose_groups(bound)) return false;
    std::size_t n = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      eligible_[n] = expert_[i];
      eligible_key_[n] = key_[i];
      n += static_cast<std::size_t>((key_[i] >= bound) & (chosen_[group_of_[expert_[i]]] != 0));
    }
    eligible_count_ = n;
    return n >= static_cast<std::size_t>(shape_.top_k);
  }

  // Writes the top_k of the eligible: an expert wins when fewer than top_k others beat it.
  void write_choice(std::uint16_t* out) const {
    const std::size_t n = eligible_count_, k = static_cast<std::size_t>(shape_.top_k);
    std::size_t written = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const float mine = eligible_key_[i];
      std::int32_t better = 0;
      for (std::size_t j = 0; j < n; ++j) better += eligible_key_[j] > mine;
      if (better >= static_cast<std::int32_t>(k)) continue;
      for (std::size_t j = 0; j < i; ++j) better += eligible_key_[j] == mine;
      if (better < static_cast<std::int32_t>(k)) out[written++] = eligible_[i];
    }
  }

 private:
  bool choose_groups(float bound) {
    const std::size_t groups = static_cast<std::size_t>(shape_.groups), m = static_cast<std::size_t>(shape_.group_scores);
    std::fill(best_.begin(), best_.end(), bound);
    std::fill(found_.begin(), found_.end(), std::uint16_t{0});
    for (std::size_t i = 0; i < count_; ++i) {
      const std::size_t g = group_of_[expert_[i]];
      float key = std::max(key_[i], bound);  // below the bound it is as good as unseen
      found_[g] = static_cast<std::uint16_t>(found_[g] + (key_[i] >= bound));
      for (std::size_t j = 0; j < m; ++j) {
        float& kept = best_[g * m + j];
        const float larger = std::max(kept, key);
        key = std::min(kept, key);
        kept = larger;
      }
    }
    for (std::size_t g = 0; g < groups; ++g) upper_[g] = std::accumulate(&best_[g * m], &best_[g * m] + m, 0.0f);
    bool settled = true;
    for (std::size_t g = 0; g < groups; ++g) {
      std::int64_t better = 0;
      for (std::size_t h = 0; h < groups; ++h) better += (upper_[h] > upper_[g]) | ((upper_[h] == upper_[g]) & (h < g));
      chosen_[g] = better < shape_.top_groups;
      settled &= !chosen_[g] || found_[g] >= m;
    }
    return settled;
  }

  const GateShape& shape_;
  std::int64_t per_group_;
  std::uint32_t token_ = 0;
  std::size_t count_ = 0, eligible_count_ = 0;
  std::vector<std::uint32_t> seen_;  // per expert: the token that saw it last
  std::vector<std::uint16_t> group_of_, expert_;
  std::vector<float> key_;
  std::vector<std::uint16_t> eligible_;
  std::vector<float> eligible_key_;
  std::vector<float> best_;  // [group][group_scores], falling; `bound` where not found yet
  std::vector<std::uint16_t> found_;
  std::vector<float> upper_;
  std::vector<std::uint8_t> chosen_;
};

Gate::Gate(const GateShape& shape, const Affinities& affinities) : shape_(shape), domains_(affinities.domains) {
  CHECK(affinities.experts == shape.experts && shape.experts > 0 && shape.experts <= 65535);
  CHECK(shape.groups >= 1 && shape.experts % shape.groups == 0 && shape.top_groups >= 1 && shape.top_groups <= shape.groups);
  CHECK(shape.top_k >= 1 && shape.top_k <= shape.experts / shape.groups * shape.top_groups);
  CHECK(shape.group_scores >= 1 && shape.group_scores <= shape.experts / shape.groups);
  rho_ = score_slope(shape);
  weight_.resize(affinities.log_weight.size());
  std::transform(affinities.log_weight.begin(), affinities.log_weight.end(), weight_.begin(), [](double x) { return std::exp(x); });
  slots_.resize(weight_.size());
  steepness_.resize(weight_.size());
  bias_.assign(static_cast<std::size_t>(shape.experts), 0.0);
  bias_f_.resize(bias_.size());
  const std::size_t domains = static_cast<std::size_t>(domains_);
  threshold_.assign(domains, 0.0);
  reach_.resize(domains);
  bound_.resize(domains);
  poisson_ = poisson_table();
  set_bias(bias_);
}

void Gate::set_bias(std::span<const double> bias) {
  CHECK(static_cast<std::int64_t>(bias.size()) == shape_.experts);
  std::copy(bias.begin(), bias.end(), bias_.begin());
  std::transform(bias_.begin(), bias_.end(), bias_f_.begin(), [](double x) { return static_cast<float>(x); });
  if (small_gate(shape_)) return;
  for (std::int64_t d = 0; d < domains_; ++d) prepare(d);
}

// Chooses the threshold key so that about kCandidates arrivals lie above it, and fills the domain's alias table.
void Gate::prepare(std::int64_t domain) {
  const std::size_t experts = static_cast<std::size_t>(shape_.experts), row = static_cast<std::size_t>(domain) * experts;
  const double* weight = &weight_[row];
  const double highest_bias = *std::max_element(bias_.begin(), bias_.end());
  const auto race_time = [&](double threshold, std::size_t e) {
    const double score = std::clamp(threshold - bias_[e], kSmallestMargin, 1.0 - kSmallestMargin);
    return (1.0 / score - 1.0) / rho_;
  };
  const auto arrivals = [&](double threshold) {
    double sum = 0;
    for (std::size_t e = 0; e < experts; ++e) sum += weight[e] * race_time(threshold, e);
    return sum;
  };
  // Any threshold is right; one near the target is fast. The last one usually still is.
  double& threshold = threshold_[static_cast<std::size_t>(domain)];
  double expected = threshold > highest_bias + kSmallestMargin ? arrivals(threshold) : 0;
  double low = highest_bias + kSmallestMargin, high = highest_bias + 1.0 - kSmallestMargin;
  for (int step = 0; step < 40 && (expected < 0.9 * kCandidates || expected > 1.1 * kCandidates); ++step) {
    threshold = 0.5 * (low + high);
    expected = arrivals(threshold);
    (expected > kCandidates ? low : high) = threshold;
  }
  reach_[static_cast<std::size_t>(domain)] = static_cast<float>(kCandidates / expected);

  std::vector<double> share(experts);
  std::vector<std::uint16_t> small, large;
  for (std::size_t e = 0; e < experts; ++e) {
    const double time = race_time(threshold, e);
    steepness_[row + e] = static_cast<float>(rho_ * time);
    share[e] = weight[e] * time / expected * static_cast<double>(experts);
    (share[e] < 1 ? small : large).push_back(static_cast<std::uint16_t>(e));
    slots_[row + e] = {0xffffffffu, static_cast<std::uint16_t>(e)};
  }
  while (!small.empty() && !large.empty()) {
    const std::uint16_t s = small.back(), l = large.back();
    small.pop_back();
    slots_[row + s] = {static_cast<std::uint32_t>(share[s] * 4294967295.0), l};
    share[l] -= 1.0 - share[s];
    if (share[l] < 1) {
      large.pop_back();
      small.push_back(l);
    }
  }
  float& bound = bound_[static_cast<std::size_t>(domain)];
  bound = -std::numeric_limits<float>::infinity();
  for (std::size_t e = 0; e < experts; ++e)
    bound = std::max(bound, 1.0f / (1.0f + reach_[static_cast<std::size_t>(domain)] * steepness_[row + e]) + bias_f_[e]);
}

// The race's arrivals with u in (0, reach).
void Gate::draw_candidates(std::int64_t domain, std::uint64_t key, Scratch& scratch) const {
  const std::size_t experts = static_cast<std::size_t>(shape_.experts), row = static_cast<std::size_t>(domain) * experts;
  const Slot* slots = &slots_[row];
  const float* steepness = &steepness_[row];
  const float scale = reach_[static_cast<std::size_t>(domain)] * (1.0f / 16777216.0f);
  const std::uint32_t level = static_cast<std::uint32_t>(mix64(key) >> 32);
  std::size_t arrivals = static_cast<std::size_t>(std::lower_bound(poisson_.begin(), poisson_.end(), level) - poisson_.begin());
  std::array<std::uint16_t, kPoissonEntries> expert;
  std::array<float, kPoissonEntries> value;
  for (std::size_t j = 0; j < arrivals; ++j) {
    const std::uint64_t bits = mix64(key + (j + 1) * 0x9e3779b97f4a7c15ull);
    const std::uint64_t scaled = (bits & 0xffffffffull) * experts;  // bucket in the high word, its fraction in the low word
    const Slot slot = slots[scaled >> 32];
    const std::uint16_t e = static_cast<std::uint32_t>(scaled) < slot.keep ? static_cast<std::uint16_t>(scaled >> 32) : slot.other;
    const float u = (static_cast<float>(bits >> 40) + 0.5f) * scale;
    expert[j] = e;
    value[j] = 1.0f / (1.0f + u * steepness[e]) + bias_f_[e];
  }
  for (std::size_t j = 0; j < arrivals; ++j) scratch.add(expert[j], value[j]);
}

// The race has no memory: an expert that has not arrived yet needs another exponential time.
void Gate::finish_race(std::int64_t domain, std::uint64_t key, Scratch& scratch) const {
  const std::size_t experts = static_cast<std::size_t>(shape_.experts), row = static_cast<std::size_t>(domain) * experts;
  const Random rest(key, experts);
  for (std::size_t e = 0; e < experts; ++e) {
    if (scratch.has(e)) continue;
    const double waited = reach_[static_cast<std::size_t>(domain)] * steepness_[row + e];
    const double more = -std::log(rest.uniform(e)) / weight_[row + e] * rho_;
    scratch.add(static_cast<std::uint16_t>(e), static_cast<float>(1.0 / (1.0 + waited + more) + bias_[e]));
  }
  CHECK(scratch.settle(-std::numeric_limits<float>::infinity()));
}

void Gate::route(const TokenRange& range, const Random& random, TokenChoices& choices) const {
  CHECK(range.domain >= 0 && range.domain < domains_);
  if (small_gate(shape_)) return route_dense(range, random, choices);
  const std::size_t k = static_cast<std::size_t>(shape_.top_k), start = choices.expert.size();
  choices.top_k = shape_.top_k;
  choices.expert.resize(start + static_cast<std::size_t>(range.count) * k);
  Scratch scratch(shape_);
  for (std::int64_t t = 0; t < range.count; ++t) {
    const std::uint64_t key = random.bits(static_cast<std::uint64_t>(range.first + t));
    scratch.start_token();
    draw_candidates(range.domain, key, scratch);
    const float bound = bound_[static_cast<std::size_t>(range.domain)];
    if (!scratch.settle(bound)) finish_race(range.domain, key, scratch);
    scratch.write_choice(&choices.expert[start + static_cast<std::size_t>(t) * k]);
  }
}

void Gate::route_dense(const TokenRange& range, const Random& random, TokenChoices& choices) const {
  const std::size_t k = static_cast<std::size_t>(shape_.top_k), start = choices.expert.size();
  const std::uint64_t experts = static_cast<std::uint64_t>(shape_.experts);
  const double* weight = &weight_[static_cast<std::size_t>(range.domain * shape_.experts)];
  choices.top_k = shape_.top_k;
  choices.expert.resize(start + static_cast<std::size_t>(range.count) * k);
  Scratch scratch(shape_);
  for (std::int64_t t = 0; t < range.count; ++t) {
    scratch.start_token();
    for (std::uint64_t e = 0; e < experts; ++e) {
      const double time = -std::log(random.uniform(static_cast<std::uint64_t>(range.first + t) * experts + e)) / weight[e];
      scratch.add(static_cast<std::uint16_t>(e), static_cast<float>(1.0 / (1.0 + rho_ * time) + bias_[e]));
    }
    CHECK(scratch.settle(-std::numeric_limits<float>::infinity()));
    scratch.write_choice(&choices.expert[start + static_cast<std::size_t>(t) * k]);
  }
}

}  // namespace trillion
