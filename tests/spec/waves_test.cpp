// Waves of work items over SMs.
#include "sim/spec/waves.h"

#include <gtest/gtest.h>

#include <cmath>

namespace trillion::waves_test {
namespace {

TEST(Waves, WavesAreWholeOrBlurred) {
  EXPECT_EQ(effective_waves(0.01, 0.5), 1);
  EXPECT_EQ(effective_waves(1, 0), 1);
  EXPECT_EQ(effective_waves(1.25, 0), 2);
  EXPECT_EQ(effective_waves(1.25, 1), 1.25);
  EXPECT_EQ(effective_waves(2.5, 0.5), 2.75);
}

}  // namespace
}  // namespace trillion::waves_test
