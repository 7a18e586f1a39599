// Algebra of capacity:
//   ceil(factor x even share), none without a factor
//   drop_over_capacity leaves each expert min(load, capacity)
//   kept_load is the mean and variance of min(X, capacity): known limits, and what many draws give
#include "sim/moe/capacity.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sim/base/random.h"
#include "tests/moe/support/routed_models.h"

namespace trillion::capacity_test {
namespace {

TEST(Capacity, IsAMultipleOfTheEvenShare) {
  Routing routing;
  EXPECT_FALSE(expert_capacity(routing, kV3, 4096));
  routing.capacity_factor = 1.0;
  EXPECT_EQ(expert_capacity(routing, kV3, 4096)->tokens, 128);
  EXPECT_EQ(expert_capacity(routing, kV3, 4097)->tokens, 129) << "rounded up, as Megatron-LM does";
  routing.capacity_factor = 1.25;
  routing.pad_to_capacity = true;
  EXPECT_EQ(expert_capacity(routing, kV3, 4096)->tokens, 160);
  EXPECT_TRUE(expert_capacity(routing, kV3, 4096)->padded);
}

TEST(Capacity, DropsWhatIsBeyond) {
  const TokenChoices choices{1, {0, 0, 0, 0, 1, 2}};
  const CapacityResult tight = drop_over_capacity(choices, 3, {2}, Random(1, 1));
  const auto& kept = tight.kept.expert;
  EXPECT_EQ(std::count(kept.begin(), kept.end(), 0), 2);
  EXPECT_EQ(std::count(kept.begin(), kept.end(), CapacityResult::kDropped), 2);
  EXPECT_EQ(kept[4], 1);
  EXPECT_EQ(kept[5], 2);
  EXPECT_DOUBLE_EQ(tight.dropped_share, 2.0 / 6);
  EXPECT_EQ(drop_over_capacity(choices, 3, {4}, Random(1, 1)).dropped_share, 0);
}

TEST(Capacity, KeptLoadHasItsLimits) {
  EXPECT_EQ(kept_load(100, 0, 80).mean, 80);
  EXPECT_EQ(kept_load(100, 0, 120).mean, 100);
  EXPECT_EQ(kept_load(100, 100, 1000).mean, 100) << "far from the capacity all is kept";
  EXPECT_EQ(kept_load(100, 100, 1000).variance, 100);
  EXPECT_NEAR(kept_load(1000, 100, 80).mean, 80, 1e-9);
  EXPECT_NEAR(kept_load(1000, 100, 80).variance, 0, 1e-6);
  // At the mean itself: E = m - s / sqrt(2 pi).
  EXPECT_NEAR(kept_load(100, 25, 100).mean, 100 - 5 / std::sqrt(2 * 3.141592653589793), 1e-9);
  EXPECT_DOUBLE_EQ(kept_load(100, 25, 100).slope, 0.5);
}

TEST(Capacity, KeptLoadIsWhatDrawsGive) {
  for (const double capacity : {90.0, 100.0, 118.0}) {
    const Random draw(5, static_cast<std::uint64_t>(capacity));
    double sum = 0, square = 0;
    constexpr int kDraws = 200000;
    for (int i = 0; i < kDraws; ++i) {
      const double x = std::min(capacity, 100 + 12 * draw.normal(static_cast<std::uint64_t>(i)));
      sum += x / kDraws;
      square += x * x / kDraws;
    }
    const KeptLoad load = kept_load(100, 144, capacity);
    EXPECT_NEAR(load.mean, sum, 0.1) << capacity;
    EXPECT_NEAR(load.variance, square - sum * sum, 1.0) << capacity;
  }
}

}  // namespace
}  // namespace trillion::capacity_test
