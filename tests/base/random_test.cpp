// A pure function of (seed, stream, index), uniform enough that moments come out.
#include "sim/base/random.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>

namespace trillion::random_test {
namespace {

TEST(Random, TheSameEverywhere) {
  const Random a(1, 2), b(1, 2);
  EXPECT_EQ(a.bits(3), b.bits(3));
  EXPECT_EQ(a.normal(3), b.normal(3));
  EXPECT_NE(a.bits(3), a.bits(4));
  EXPECT_NE(a.bits(3), Random(1, 3).bits(3));
  EXPECT_NE(a.bits(3), Random(2, 2).bits(3));
  static_assert(Random(1, 2).bits(3) == Random(1, 2).bits(3), "known at compile time: no hidden state");
}

TEST(Random, NeitherZeroNorOne) {
  const Random random(42, 0);
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const double u = random.uniform(i);
    ASSERT_GT(u, 0) << i;
    ASSERT_LT(u, 1) << i;
  }
}

// Five standard errors around the exact moments: 1/2 and 1/12; 0, 1 and (for normal) a fourth moment of 3.
TEST(Random, Moments) {
  constexpr int kCount = 200000;
  for (std::uint64_t stream = 0; stream < 4; ++stream) {
    const Random random(7, stream);
    double mean = 0, square = 0, normal = 0, normal_square = 0, normal_fourth = 0;
    for (std::uint64_t i = 0; i < kCount; ++i) {
      const double u = random.uniform(i), x = random.normal(i);
      mean += u / kCount;
      square += (u - 0.5) * (u - 0.5) / kCount;
      normal += x / kCount;
      normal_square += x * x / kCount;
      normal_fourth += x * x * x * x / kCount;
    }
    EXPECT_NEAR(mean, 0.5, 0.0033) << "seed 7, stream " << stream;
    EXPECT_NEAR(square, 1.0 / 12, 0.001) << "seed 7, stream " << stream;
    EXPECT_NEAR(normal, 0, 0.0112) << "seed 7, stream " << stream;
    EXPECT_NEAR(normal_square, 1, 0.0159) << "seed 7, stream " << stream;
    EXPECT_NEAR(normal_fourth, 3, 0.11) << "seed 7, stream " << stream;
  }
}

TEST(Random, NeighbouringStreamsAndIndicesDoNotRepeat) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t stream = 0; stream < 100; ++stream) {
    for (std::uint64_t i = 0; i < 100; ++i) seen.insert(Random(0, stream).bits(i));
  }
  EXPECT_EQ(seen.size(), 10000u);
}

}  // namespace
}  // namespace trillion::random_test
