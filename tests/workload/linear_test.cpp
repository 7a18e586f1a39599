// A linear layer of `in` x `out` over t tokens. The algebra:
//   work      each of its three products does 2 t in out FLOPs
//   kernels   BF16: one per product; FP8 adds the casts of its operands, block-scaled FP8 the layout of the scales
//   bytes     a cast reads 2 bytes a value and writes 1 + 4/128, whatever the direction
#include "sim/workload/linear.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/block_setting.h"

namespace trillion::linear_test {
namespace {

using namespace testing_support;
using testing::ElementsAre;

constexpr std::int64_t kTokens = 512, kIn = 256, kOut = 1024;

Linear layer(DType type) { return {"layer", kTokens, kIn, kOut, Category::attention, type}; }

struct Products {
  explicit Products(const Linear& l) {
    add_forward(forward, l);
    add_input_gradient(input, l);
    add_weight_operands(operands, l);
    add_weight_gradient(weight, l);
  }
  Operations forward, input, operands, weight;
};

TEST(Linear, ThreeProductsOfTheSameWork) {
  for (const DType type : {DType::bf16, DType::fp8, DType::fp8_block}) {
    const Products p(layer(type));
    const double expected = 2.0 * kTokens * kIn * kOut;
    for (const Operations* ops : {&p.forward, &p.input, &p.weight}) EXPECT_EQ(work<Gemm>(*ops), expected);
    EXPECT_EQ(of_type<Gemm>(p.forward).front(), (Gemm{type, kTokens, kOut, kIn, GemmLayout::forward, false}));
    EXPECT_EQ(of_type<Gemm>(p.input).front(), (Gemm{type, kTokens, kIn, kOut, GemmLayout::input_gradient, false}));
    EXPECT_EQ(of_type<Gemm>(p.weight).front(), (Gemm{type, kOut, kIn, kTokens, GemmLayout::weight_gradient, true}));
  }
}

TEST(Linear, KernelsOfBF16AreTheProductsAlone) {
  const Products p(layer(DType::bf16));
  EXPECT_THAT(labels(p.forward), ElementsAre("layer"));
  EXPECT_THAT(labels(p.input), ElementsAre("layer dgrad"));
  EXPECT_TRUE(p.operands.empty());
  EXPECT_THAT(labels(p.weight), ElementsAre("layer wgrad"));
}

TEST(Linear, KernelsOfFP8CastTheirOperands) {
  const Products p(layer(DType::fp8));
  EXPECT_THAT(labels(p.forward), ElementsAre("layer quantise input", "layer"));
  EXPECT_THAT(labels(p.input), ElementsAre("layer quantise gradient", "layer transpose weight", "layer dgrad"));
  EXPECT_THAT(labels(p.operands), ElementsAre("layer quantise input for wgrad", "layer quantise gradient for wgrad"));
  EXPECT_THAT(labels(p.weight), ElementsAre("layer wgrad"));
}

TEST(Linear, BlockScaledFP8LaysOutItsScalesToo) {
  const Products p(layer(DType::fp8_block));
  EXPECT_THAT(labels(p.forward), ElementsAre("layer quantise input", "layer scales", "layer"));
  EXPECT_THAT(labels(p.input), ElementsAre("layer quantise gradient", "layer transpose weight", "layer dgrad scales", "layer dgrad"));
  EXPECT_EQ(p.operands.size(), 2u);
}

TEST(Linear, AnOperandThatIsQuantisedAlreadyIsNotCastAgain) {
  Operations cast, given;
  add_forward(cast, layer(DType::fp8_block));
  add_forward(given, layer(DType::fp8_block), Operand::quantised);
  EXPECT_THAT(labels(given), ElementsAre("layer scales", "layer"));
  EXPECT_EQ(cast.size(), given.size() + 1);
}

TEST(Linear, CastsMoveTwoBytesInAndOneWithItsScaleOut) {
  const Products p(layer(DType::fp8_block));
  const MemoryBound input = std::get<MemoryBound>(named(p.forward, "layer quantise input").what);
  EXPECT_EQ(input, (MemoryBound{MemoryKernel::cast_fp8, Bytes{2.0 * kTokens * kIn}, Bytes{kTokens * kIn * (1 + 4.0 / 128)}}));
  const MemoryBound gradient = std::get<MemoryBound>(named(p.operands, "layer quantise gradient for wgrad").what);
  EXPECT_EQ(gradient,
            (MemoryBound{MemoryKernel::cast_fp8_transpose, Bytes{2.0 * kTokens * kOut}, Bytes{kTokens * kOut * (1 + 4.0 / 128)}}));
  const MemoryBound weight = std::get<MemoryBound>(named(p.input, "layer transpose weight").what);
  EXPECT_EQ(weight, (MemoryBound{MemoryKernel::transpose, Bytes{1.0 * kIn * kOut}, Bytes{1.0 * kIn * kOut}}));
  const MemoryBound scales = std::get<MemoryBound>(named(p.forward, "layer scales").what);
  EXPECT_EQ(scales.read, Bytes{4.0 * kTokens * kIn / 128});
}

}  // namespace
}  // namespace trillion::linear_test
