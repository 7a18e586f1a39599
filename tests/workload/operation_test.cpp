// What a kernel leaves in memory.
#include "sim/workload/operation.h"

#include <gtest/gtest.h>

namespace trillion::operation_test {
namespace {

TEST(Operation, LeavesItsOutputUnlessItWorksInPlace) {
  Operation op{.label = "product", .what = Gemm{.m = 3, .n = 5, .k = 7}};
  EXPECT_EQ(left_in_memory(op), Bytes{2 * 3 * 5}) << "BF16";
  op.in_place = true;
  EXPECT_EQ(left_in_memory(op), Bytes{});
  op = {.label = "experts", .what = GroupedGemm{.m = {2, 4}, .n = 5, .k = 7}};
  EXPECT_EQ(left_in_memory(op), Bytes{2 * 6 * 5});
  op = {.label = "copy", .what = MemoryBound{MemoryKernel::copy, Bytes{8}, Bytes{16}}};
  EXPECT_EQ(left_in_memory(op), Bytes{16});
}

}  // namespace
}  // namespace trillion::operation_test
