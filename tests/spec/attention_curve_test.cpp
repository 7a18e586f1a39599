// Attention: the equations of attention_curve.h, checked by hand on small numbers. Monotonicity under random shapes is tests/timing's.
#include "sim/spec/attention_curve.h"

#include <gtest/gtest.h>

#include <cmath>

namespace trillion::attention_curve_test {
namespace {

AttentionCurve plain_attention(Direction direction) {
  AttentionCurve c;
  c.direction = direction;
  c.sm_rate = FlopsPerSecond{1e12};
  c.memory_rate = BytesPerSecond{1e18};
  return c;
}

TEST(AttentionCurve, CausalAttentionSumsTheTriangleOfBlocks) {
  // 4 query tiles see 1, 2, 3, 4 key blocks: 10 blocks per head; one block is 2 128 128 (128 + 128) FLOP.
  const double block = 2.0 * 128 * 128 * 256 / 1e12;
  const Attention a{DType::bf16, 1, 3, 3, 512, 512, 128, 128, true};
  EXPECT_NEAR(evaluate(plain_attention(Direction::forward), a, 1).value(), 30 * block, 1e-12);
  EXPECT_NEAR(evaluate(plain_attention(Direction::forward), a, 1000).value(), 4 * block, 1e-12);  // no faster than the longest
  Attention whole = a;
  whole.causal = false;
  EXPECT_NEAR(evaluate(plain_attention(Direction::forward), whole, 12).value(), 4 * block, 1e-12);
  // A later slice: 256 queries of 512 keys see 3 and 4 blocks.
  Attention slice = a;
  slice.queries = 256;
  EXPECT_NEAR(evaluate(plain_attention(Direction::forward), slice, 1).value(), 3 * 7 * block, 1e-12);
  // Backward loops over queries per key tile, with five products: 3 qk + 2 v.
  slice.direction = a.direction;
  Attention back = slice;
  back.direction = Direction::backward;
  const double back_block = 2.0 * 128 * 128 * (3 * 128 + 2 * 128) / 1e12;
  EXPECT_NEAR(evaluate(plain_attention(Direction::backward), back, 1).value(), 3 * 7 * back_block, 1e-11);
}

}  // namespace
}  // namespace trillion::attention_curve_test
