// Interference is a factor of at least 1, by kind of kernel.
#include "sim/timing/interference.h"

#include <gtest/gtest.h>

#include "tests/timing/bench_calibration.h"

namespace trillion::interference_test {
namespace {

TEST(Interference, IsNeverASpeedUp) {
  Stack stack = bench_calibration().stack;
  EXPECT_DOUBLE_EQ(slowdown_beside_communication(stack, Gemm{}), 1.05);
  EXPECT_DOUBLE_EQ(slowdown_beside_communication(stack, GroupedGemm{}), 1.05);
  EXPECT_DOUBLE_EQ(slowdown_beside_communication(stack, Attention{}), 1.0);  // no figure: no effect
  stack.beside_communication_memory.value = 0.9;
  EXPECT_DOUBLE_EQ(slowdown_beside_communication(stack, MemoryBound{}), 1.0);
  stack.beside_compute_communication.value = 1.2;
  EXPECT_DOUBLE_EQ(slowdown_beside_compute(stack), 1.2);
}

}  // namespace
}  // namespace trillion::interference_test
