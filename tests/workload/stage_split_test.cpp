// Layers to stages. The algebra first:
//   the split adds up, leaves no stage empty that need not be, and equals the best of all splits, tried one by one, in
//   (largest rank cost, largest stage cost, sum of squares);
//   scaling all costs by a power of two changes nothing.
#include "sim/workload/stage_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <tuple>

#include "sim/base/error.h"
#include "sim/base/random.h"

namespace trillion::stage_split_test {
namespace {

using testing::ElementsAre;

using Split = std::vector<std::int64_t>;
using Cost = std::tuple<double, double, double>;  // rank, stage, squares

struct Case {
  std::vector<double> layers;
  double first = 0, last = 0;
  StageShape shape;
};

Cost cost_of(const Case& c, const Split& split) {
  std::vector<double> stages;
  std::size_t layer = 0;
  for (const std::int64_t size : split) {
    stages.push_back(0);
    for (std::int64_t i = 0; i < size; ++i) stages.back() += c.layers[layer++];
  }
  stages.front() += c.first;
  stages.back() += c.last;
  double rank = 0, squares = 0;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    rank = std::max(rank, stages[s] + (c.shape.paired ? stages[stages.size() - 1 - s] : 0));
    squares += stages[s] * stages[s];
  }
  return {rank, *std::max_element(stages.begin(), stages.end()), squares};
}

Cost best_of_all(const Case& c) {
  const auto stages = static_cast<std::size_t>(c.shape.stages);
  const auto layers = static_cast<std::int64_t>(c.layers.size());
  const std::int64_t fewest = layers >= c.shape.stages ? 1 : 0, most = fewest == 1 ? layers : 1;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Cost best{kInfinity, kInfinity, kInfinity};
  Split split;
  const std::function<void(std::int64_t)> extend = [&](std::int64_t left) {
    if (split.size() == stages) {
      if (left == 0) best = std::min(best, cost_of(c, split));
      return;
    }
    for (std::int64_t size = fewest; size <= std::min(left, most); ++size) {
      split.push_back(size);
      extend(left - size);
      split.pop_back();
    }
  };
  extend(layers);
  return best;
}

Split split_of(const Case& c) { return split_layers(c.layers, c.first, c.last, c.shape); }

TEST(StageSplitPropertyTest, IsTheBestOfAllSplits) {
  const std::uint64_t seed = 20250405;
  SCOPED_TRACE("seed " + std::to_string(seed));
  const Random random(seed, 0);
  std::uint64_t draw = 0;
  const auto pick = [&](std::uint64_t from, std::uint64_t to) { return from + random.bits(draw++) % (to - from + 1); };
  for (int round = 0; round < 1500; ++round) {
    Case c;
    c.shape.paired = pick(0, 1) == 1;
    c.shape.stages = static_cast<std::int64_t>(c.shape.paired ? 2 * pick(1, 3) : pick(1, 6));
    // Whole numbers: sums are exact in any order, so that costs can be compared. Few different ones: ties.
    const std::uint64_t largest = pick(1, 12);
    for (std::uint64_t i = pick(0, 11); i > 0; --i) c.layers.push_back(static_cast<double>(pick(0, largest)));
    c.first = static_cast<double>(pick(0, 8));
    c.last = static_cast<double>(pick(0, 20));
    const Split split = split_of(c);
    ASSERT_EQ(split.size(), static_cast<std::size_t>(c.shape.stages));
    ASSERT_EQ(std::accumulate(split.begin(), split.end(), std::int64_t{0}), static_cast<std::int64_t>(c.layers.size()));
    const bool enough = static_cast<std::int64_t>(c.layers.size()) >= c.shape.stages;
    for (const std::int64_t size : split) ASSERT_TRUE(enough ? size >= 1 : size <= 1);
    ASSERT_EQ(cost_of(c, split), best_of_all(c)) << testing::PrintToString(c.layers) << " first " << c.first << " last " << c.last
                                                 << " stages " << c.shape.stages << (c.shape.paired ? " paired" : "");
  }
}

TEST(StageSplitPropertyTest, AFactorChangesNothing) {
  const std::uint64_t seed = 20250406;
  SCOPED_TRACE("seed " + std::to_string(seed));
  const Random random(seed, 0);
  std::uint64_t draw = 0;
  for (int round = 0; round < 50; ++round) {
    Case c{{}, random.uniform(draw++), 3 * random.uniform(draw++), {8, round % 2 == 0}};
    for (int i = 0; i < 40; ++i) c.layers.push_back(random.uniform(draw++));
    const Split split = split_of(c);
    for (double& cost : c.layers) cost *= 0x1p-40;
    c.first *= 0x1p-40;
    c.last *= 0x1p-40;
    EXPECT_EQ(split_of(c), split);
  }
}

TEST(StageSplitTest, TheHeadTakesTheRoomOfLayers) {
  EXPECT_THAT(split_of({{1, 1, 1, 1, 1, 1}, 0, 2, {3, false}}), ElementsAre(2, 3, 1));
  EXPECT_THAT(split_of({{1, 1, 1, 1, 1, 1}, 0, 0, {3, false}}), ElementsAre(2, 2, 2));
}

TEST(StageSplitTest, PairedStagesShareARank) {
  // Rank 0 has stages 0 and 3: what the head weighs may be given back in stage 0.
  EXPECT_THAT(split_of({{1, 1, 1, 1, 1, 1, 1, 1}, 0, 2, {4, true}}), ElementsAre(2, 2, 3, 1));
  EXPECT_THAT(split_of({{1, 1, 1, 1, 1, 1, 1, 1}, 0, 0, {4, true}}), ElementsAre(2, 2, 2, 2));
}

// 0.1 is no round number: one and eight layers add up to another last bit than four and five, and that must not decide.
TEST(StageSplitTest, ARanksTwoStagesAreAlike) {
  for (const double head : {0.15, 0.31, 0.52}) {
    const Split split = split_of({std::vector<double>(61, 0.1), 0, head, {16, true}});
    for (std::size_t r = 1; r < 8; ++r) EXPECT_LE(std::abs(split[r] - split[15 - r]), 1) << head << ": " << testing::PrintToString(split);
  }
}

TEST(StageSplitTest, FewerLayersThanStages) {
  EXPECT_THAT(split_of({{1, 1}, 1, 1, {4, false}}), ElementsAre(0, 1, 1, 0));
  EXPECT_THAT(split_of({{}, 1, 1, {2, true}}), ElementsAre(0, 0));
}

TEST(StageSplitTest, SixtyOneLayersOfSixteenStages) {
  Case c{std::vector<double>(61, 1.0), 0, 1.5, {16, true}};
  const Split split = split_of(c);
  EXPECT_EQ(std::accumulate(split.begin(), split.end(), std::int64_t{0}), 61);
  EXPECT_EQ(std::get<0>(cost_of(c, split)), 8);  // 62.5 over 8 ranks is 7.8
  EXPECT_EQ(std::get<1>(cost_of(c, split)), 4);
}

TEST(StageSplitTest, RefusesWhatIsNotAProblem) {
  EXPECT_THROW(split_layers({1, 1, 1}, 0, 0, {3, true}), InternalError);
  EXPECT_THROW(split_layers({1, -1}, 0, 0, {1, false}), InternalError);
  EXPECT_THROW(split_layers({1}, std::numeric_limits<double>::quiet_NaN(), 0, {1, false}), InternalError);
}

}  // namespace
}  // namespace trillion::stage_split_test
