#include "sim/moe/gate.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

#include "sim/base/error.h"
#include "sim/moe/gate_kernel.h"

namespace trillion {
namespace {

constexpr std::uint64_t kStreamPopularity = 0x706f70;
constexpr std::uint64_t kStreamDomain = 0x646f6d;

// The score of the last expert chosen when all are equal.
double typical_score(const GateShape& shape) {
  if (shape.score == GateScore::sigmoid) return kTypicalScore;
  // The k-th largest of E equal shares is near E / k, their sum near E (ln E + 0.577).
  return 1.0 / (static_cast<double>(shape.top_k) * (std::log(static_cast<double>(shape.experts)) + 0.577) + 1.0);
}

}  // namespace

double score_slope(const GateShape& shape) { return typical_score(shape) * (1 - typical_score(shape)); }

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

Gate::Gate(const GateShape& shape, const Affinities& affinities) : shape_(shape), domains_(affinities.domains) {
  CHECK(affinities.experts == shape.experts && shape.experts > 0 && shape.experts <= 4096);
  CHECK(shape.groups >= 1 && shape.groups <= kMaxGroups && shape.experts % shape.groups == 0);
  CHECK(shape.top_groups >= 1 && shape.top_groups <= shape.groups);
  CHECK(shape.top_k >= 1 && shape.top_k <= kMaxTopK && shape.top_k <= shape.experts / shape.groups * shape.top_groups);
  CHECK(shape.group_scores >= 1 && shape.group_scores <= shape.experts / shape.groups && shape.group_scores <= kMaxTopK);
  const double typical = typical_score(shape), odds = typical / (1 - typical);
  const double scale = odds * static_cast<double>(shape.top_k) / static_cast<double>(shape.experts) * kNoiseLevels;
  weight_.resize(affinities.log_weight.size());
  std::transform(affinities.log_weight.begin(), affinities.log_weight.end(), weight_.begin(),
                 [scale](double x) { return static_cast<float>(scale * std::exp(x)); });
  set_bias(std::vector<double>(static_cast<std::size_t>(shape.experts), 0.0));
}

void Gate::set_bias(std::span<const double> bias) {
  CHECK(static_cast<std::int64_t>(bias.size()) == shape_.experts);
  bias_.assign(bias.begin(), bias.end());
  shifted_bias_.resize(bias_.size());
  const double lowest = *std::min_element(bias_.begin(), bias_.end());
  std::transform(bias_.begin(), bias_.end(), shifted_bias_.begin(), [lowest](double x) { return static_cast<float>(x - lowest); });
}

Gate Gate::without_limit() const {
  Gate free = *this;
  free.shape_.top_groups = free.shape_.groups;
  return free;
}

void Gate::route(const TokenRange& range, const Random& random, TokenChoices& choices) const {
  CHECK(range.domain >= 0 && range.domain < domains_);
  const std::size_t k = static_cast<std::size_t>(shape_.top_k), start = choices.expert.size();
  choices.top_k = shape_.top_k;
  choices.expert.resize(start + static_cast<std::size_t>(range.count) * k);
  GateKernel kernel;
  kernel.experts = static_cast<std::uint32_t>(shape_.experts);
  kernel.top_k = static_cast<std::uint32_t>(shape_.top_k);
  kernel.groups = shape_.limited() ? static_cast<std::uint32_t>(shape_.groups) : 1;
  kernel.top_groups = shape_.limited() ? static_cast<std::uint32_t>(shape_.top_groups) : 1;
  kernel.group_scores = static_cast<std::uint32_t>(shape_.group_scores);
  kernel.number_mask = static_cast<std::uint32_t>(std::bit_ceil(static_cast<std::uint64_t>(shape_.experts)) - 1);
  kernel.weight = &weight_[static_cast<std::size_t>(range.domain * shape_.experts)];
  kernel.bias = shifted_bias_.data();
  std::vector<float> room(static_cast<std::size_t>((shape_.experts + 1) * kLanes));
  void* aligned = room.data();
  std::size_t space = room.size() * sizeof(float);
  float* keys = static_cast<float*>(std::align(64, static_cast<std::size_t>(shape_.experts * kLanes) * sizeof(float), aligned, space));
  alignas(64) std::uint32_t low[kLanes], high[kLanes];
  std::vector<std::uint16_t> block(kLanes * k);
  for (std::int64_t t = 0; t < range.count; t += kLanes) {
    for (std::int64_t lane = 0; lane < kLanes; ++lane) {
      const std::uint64_t key = random.bits(static_cast<std::uint64_t>(range.first + t + lane));
      low[lane] = static_cast<std::uint32_t>(key);
      high[lane] = static_cast<std::uint32_t>(key >> 32);
    }
    route_block(kernel, {low, high, keys}, block.data());
    const std::size_t tokens = static_cast<std::size_t>(std::min<std::int64_t>(kLanes, range.count - t));
    std::copy(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(tokens * k),
              choices.expert.begin() + static_cast<std::ptrdiff_t>(start + static_cast<std::size_t>(t) * k));
  }
}

}  // namespace trillion
