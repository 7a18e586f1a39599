// Algebra of the gate:
//   every token has top_k different experts, in at most top_groups groups
//   the choice is the top-k of the keys within the best groups, as a plain scalar loop finds it
//   equal experts: loads are binomial; distinct groups 8 (1 - C(224,8) / C(256,8)) = 5.30 without a limit, at most 4 with
//   load is proportional to exp(log-weight) while small; a bias only steers the choice
//   a token's choice depends on its number alone: any way of splitting a range gives the same
#include "sim/moe/gate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>

#include "sim/moe/gate_kernel.h"
#include "tests/moe/support/routed_models.h"

namespace trillion::gate_test {
namespace {

const GateShape kUnlimited{256, 8, 1, 1, 1, GateScore::sigmoid};

TokenChoices route(const Gate& gate, std::int64_t tokens, std::uint64_t seed) {
  TokenChoices choices;
  gate.route({0, 0, tokens}, Random(seed, 1), choices);
  return choices;
}

std::vector<double> loads(const TokenChoices& choices, std::int64_t experts) {
  std::vector<double> result(static_cast<std::size_t>(experts), 0.0);
  for (const std::uint16_t e : choices.expert) result[e] += 1;
  return result;
}

std::size_t distinct_groups(std::span<const std::uint16_t> experts, std::int64_t per_group) {
  std::set<std::int64_t> groups;
  for (const std::uint16_t e : experts) groups.insert(e / per_group);
  return groups.size();
}

double mean_groups(const TokenChoices& choices, std::int64_t per_group) {
  double sum = 0;
  for (std::int64_t t = 0; t < choices.tokens(); ++t) sum += static_cast<double>(distinct_groups(choices.of(t), per_group));
  return sum / static_cast<double>(choices.tokens());
}

TEST(Gate, ChoicesAreDifferentAndWithinTheNodeLimit) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Random draw(seed, 99);
    GateShape shape;
    shape.groups = std::int64_t{1} << (draw.bits(0) % 5);
    const std::int64_t per_group = 4 + static_cast<std::int64_t>(draw.bits(1) % 29);
    shape.experts = shape.groups * per_group;
    shape.top_groups = 1 + static_cast<std::int64_t>(draw.bits(2) % static_cast<std::uint64_t>(shape.groups));
    shape.group_scores = 1 + static_cast<std::int64_t>(draw.bits(3) % 4);
    shape.top_k =
        1 + static_cast<std::int64_t>(draw.bits(4) % static_cast<std::uint64_t>(std::min<std::int64_t>(12, per_group * shape.top_groups)));
    shape.score = draw.bits(5) % 2 ? GateScore::sigmoid : GateScore::softmax;
    Gate gate(shape, draw_affinities(shape.experts, {1.0, 1.0, 1}, seed, 0));
    std::vector<double> bias(static_cast<std::size_t>(shape.experts));
    for (std::size_t e = 0; e < bias.size(); ++e) bias[e] = 0.2 * draw.normal(100 + e);
    gate.set_bias(bias);
    const TokenChoices choices = route(gate, 100, seed);
    ASSERT_EQ(choices.tokens(), 100);
    for (std::int64_t t = 0; t < choices.tokens(); ++t) {
      const std::set<std::uint16_t> distinct(choices.of(t).begin(), choices.of(t).end());
      ASSERT_EQ(static_cast<std::int64_t>(distinct.size()), shape.top_k);
      ASSERT_LT(*distinct.rbegin(), shape.experts);
      ASSERT_LE(static_cast<std::int64_t>(distinct_groups(choices.of(t), per_group)), shape.top_groups);
    }
  }
}

// The kernel's keys by the same arithmetic, the choice by sorting.
std::vector<std::uint16_t> scalar_choice(const GateKernel& gate, std::uint32_t low, std::uint32_t high) {
  std::vector<float> key(gate.experts);
  for (std::uint32_t e = 0; e < gate.experts; ++e) {
    std::uint32_t x = (low ^ (e * 0x9e3779b9u)) * 0x7feb352du;
    x = ((x ^ (x >> 15)) + high) * 0x846ca68bu;
    const float raw = gate.weight[e] / (static_cast<float>(x >> 8) + gate.weight[e]) + gate.bias[e];
    key[e] = std::bit_cast<float>((std::bit_cast<std::uint32_t>(raw) & ~gate.number_mask) | e);
  }
  const std::uint32_t per_group = gate.experts / gate.groups;
  std::vector<std::pair<float, std::uint32_t>> group;
  for (std::uint32_t g = 0; g < gate.groups; ++g) {
    std::vector<float> sorted(key.begin() + g * per_group, key.begin() + (g + 1) * per_group);
    std::sort(sorted.rbegin(), sorted.rend());
    float sum = sorted[0];
    for (std::uint32_t m = 1; m < gate.group_scores; ++m) sum += sorted[m];
    group.emplace_back(-sum, g);
  }
  std::sort(group.begin(), group.end());
  std::vector<std::pair<float, std::uint16_t>> candidates;
  for (std::uint32_t i = 0; i < gate.top_groups; ++i)
    for (std::uint32_t e = group[i].second * per_group; e < (group[i].second + 1) * per_group; ++e)
      candidates.emplace_back(-key[e], static_cast<std::uint16_t>(e));
  std::sort(candidates.begin(), candidates.end());
  std::vector<std::uint16_t> result;
  for (std::uint32_t m = 0; m < gate.top_k; ++m) result.push_back(candidates[m].second);
  return result;
}

TEST(Gate, VectorLanesChooseWhatAScalarLoopChooses) {
  constexpr std::uint32_t kExperts = 96;
  alignas(64) static float keys[kExperts * kLanes];
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Random draw(seed, 7);
    std::vector<float> weight(kExperts), bias(kExperts);
    for (std::uint32_t e = 0; e < kExperts; ++e) {
      weight[e] = static_cast<float>(1e6 * std::exp(draw.normal(e)));
      bias[e] = static_cast<float>(0.3 * draw.uniform(1000 + e));
    }
    GateKernel gate;
    gate.experts = kExperts;
    gate.groups = seed % 3 == 0 ? 1 : 8;
    gate.top_groups = gate.groups == 1 ? 1 : 3 + static_cast<std::uint32_t>(seed % 4);
    gate.group_scores = 1 + static_cast<std::uint32_t>(seed % 3);
    gate.top_k = 1 + static_cast<std::uint32_t>(seed % 11);
    gate.number_mask = 127;
    gate.weight = weight.data();
    gate.bias = bias.data();
    alignas(64) std::uint32_t low[kLanes], high[kLanes];
    for (std::uint64_t lane = 0; lane < kLanes; ++lane) {
      low[lane] = static_cast<std::uint32_t>(draw.bits(2000 + lane));
      high[lane] = static_cast<std::uint32_t>(draw.bits(3000 + lane));
    }
    std::vector<std::uint16_t> out(kLanes * gate.top_k);
    route_block(gate, {low, high, keys}, out.data());
    for (std::uint32_t lane = 0; lane < kLanes; ++lane) {
      const std::vector<std::uint16_t> mine(out.begin() + lane * gate.top_k, out.begin() + (lane + 1) * gate.top_k);
      ASSERT_EQ(mine, scalar_choice(gate, low[lane], high[lane])) << "lane " << lane;
    }
  }
}

TEST(Gate, EqualExpertsGetBinomialLoads) {
  // facts/balancing.md section 3: 64 x 4096 tokens, mean 8192 per expert, relative deviation 1.1 %, the largest about 3.6 % up.
  const TokenChoices choices = route(Gate(kV3, draw_affinities(256, {}, 1, 0)), 64 * 4096, 5);
  const std::vector<double> load = loads(choices, 256);
  EXPECT_EQ(std::accumulate(load.begin(), load.end(), 0.0), 64 * 4096 * 8);
  double variance = 0;
  for (const double x : load) variance += (x / 8192 - 1) * (x / 8192 - 1) / 256;
  EXPECT_NEAR(std::sqrt(variance), 0.0109, 0.0015);
  const double largest = *std::max_element(load.begin(), load.end()) / 8192;
  EXPECT_GT(largest, 1.02);
  EXPECT_LT(largest, 1.05);
}

TEST(Gate, DistinctNodes) {
  const Affinities equal = draw_affinities(256, {}, 1, 0);
  EXPECT_NEAR(mean_groups(route(Gate(kUnlimited, equal), 40000, 3), 32), 5.30, 0.02);
  const double limited = mean_groups(route(Gate(kV3, equal), 40000, 3), 32);
  EXPECT_LE(limited, 4.0);
  EXPECT_GT(limited, 3.95);
}

TEST(Gate, LoadFollowsTheWeight) {
  // One expert of twice, one of half the popularity among equals.
  Affinities affinities = draw_affinities(256, {}, 1, 0);
  affinities.at(0, 10) = std::log(2.0);
  affinities.at(0, 20) = -std::log(2.0);
  for (const GateScore score : {GateScore::sigmoid, GateScore::softmax}) {
    GateShape shape = kUnlimited;
    shape.score = score;
    const std::vector<double> load = loads(route(Gate(shape, affinities), 200000, 4), 256);
    EXPECT_NEAR(load[10] / load[0], 2.0, 0.12);
    EXPECT_NEAR(load[20] / load[0], 0.5, 0.05);
  }
}

TEST(Gate, ABiasRaisesItsExpertOnly) {
  Gate gate(kUnlimited, draw_affinities(256, {}, 1, 0));
  const std::vector<double> before = loads(route(gate, 50000, 6), 256);
  std::vector<double> bias(256, 0.0);
  bias[7] = 0.1;
  gate.set_bias(bias);
  const std::vector<double> after = loads(route(gate, 50000, 6), 256);
  EXPECT_GT(after[7], 1.2 * before[7]);
  for (std::size_t e = 0; e < 256; ++e) {
    if (e != 7) {
      EXPECT_LE(after[e], before[e]);
    }
  }
  // A bias that all share changes nothing.
  gate.set_bias(std::vector<double>(256, 0.3));
  EXPECT_EQ(loads(route(gate, 50000, 6), 256), before);
}

TEST(Gate, ARangeMayBeSplitAnyhow) {
  const Gate gate(kV3, draw_affinities(256, {0.6, 1.1, 3}, 8, 2));
  TokenChoices whole, parts;
  gate.route({2, 100, 77}, Random(3, 4), whole);
  gate.route({2, 100, 5}, Random(3, 4), parts);
  gate.route({2, 105, 40}, Random(3, 4), parts);
  gate.route({2, 145, 32}, Random(3, 4), parts);
  EXPECT_EQ(whole.expert, parts.expert);
  TokenChoices other;
  gate.route({1, 100, 77}, Random(3, 4), other);
  EXPECT_NE(whole.expert, other.expert);
}

TEST(Gate, AffinitiesHaveTheSkewAsked) {
  const Affinities drawn = draw_affinities(4000, {0.6, 1.1, 4}, 3, 1);
  double total = 0, drift = 0;
  for (std::int64_t e = 0; e < 4000; ++e) {
    const double mean = (drawn.at(0, e) + drawn.at(1, e) + drawn.at(2, e) + drawn.at(3, e)) / 4;
    for (std::int64_t d = 0; d < 4; ++d) {
      total += drawn.at(d, e) * drawn.at(d, e) / 16000;
      drift += (drawn.at(d, e) - mean) * (drawn.at(d, e) - mean) / 12000;
    }
  }
  EXPECT_NEAR(std::sqrt(drift), 1.1, 0.03);
  EXPECT_NEAR(std::sqrt(total), std::hypot(0.6, 1.1), 0.03);
}

TEST(Gate, ReadsTheModelsLimit) {
  MixtureOfExperts moe;
  moe.n_routed_experts = 8;
  moe.num_experts_per_tok = 2;
  EXPECT_FALSE(gate_shape(moe).limited());
  moe.n_routed_experts = 256;
  moe.num_experts_per_tok = 8;
  moe.n_group = 8;
  moe.topk_group = 4;
  moe.topk_group_scores = 2;
  EXPECT_TRUE(gate_shape(moe).limited());
  EXPECT_EQ(gate_shape(moe).group_scores, 2);
}

}  // namespace
}  // namespace trillion::gate_test
