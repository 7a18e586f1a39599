// Arithmetic of shapes.
#include "sim/spec/kernel.h"

#include <gtest/gtest.h>

namespace trillion::kernel_test {
namespace {

TEST(Kernel, FlopsCountMultiplyAndAdd) {
  EXPECT_EQ(flops(Gemm{DType::bf16, 2, 3, 5}).value(), 60);
  EXPECT_EQ(flops(GroupedGemm{DType::bf16, {2, 4}, 3, 5}).value(), 180);
  // DeepSeek-V3's attention over one sequence of 4096: 0.687 TFLOP forward.
  Attention a{DType::bf16, 1, 128, 128, 4096, 4096, 192, 128, true};
  EXPECT_NEAR(flops(a).value(), 0.687e12, 0.001e12);
  Attention whole = a;
  whole.causal = false;
  EXPECT_DOUBLE_EQ(flops(whole).value(), 2 * flops(a).value());
  a.direction = Direction::backward;
  EXPECT_DOUBLE_EQ(flops(a).value(), 0.5 * flops(whole).value() * (3 * 192 + 2 * 128) / (192 + 128));
}

TEST(Kernel, ALaterSliceSeesTheKeysBeforeIt) {
  const Attention all{DType::bf16, 1, 1, 1, 4096, 4096, 64, 64, true};
  Attention first = all, second = all;
  first.queries = first.keys = 2048;
  second.queries = 2048;
  EXPECT_DOUBLE_EQ(flops(first).value() + flops(second).value(), flops(all).value());
}

TEST(Kernel, NamesMatchTheEnums) {
  EXPECT_EQ(kMemoryKernelNames[static_cast<std::size_t>(MemoryKernel::scatter_add)], "scatter_add");
  EXPECT_EQ(kMemoryKernelNames[static_cast<std::size_t>(MemoryKernel::rms_norm_backward)], "rms_norm_backward");
  EXPECT_EQ(kCollectiveKindNames[static_cast<std::size_t>(CollectiveKind::expert_combine)], "expert_combine");
  EXPECT_EQ(element_bytes(DType::fp8_block).value(), 1);
}

}  // namespace
}  // namespace trillion::kernel_test
