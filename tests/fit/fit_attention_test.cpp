// Attention curves from points.
#include "calibration/fit/curve_fits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "calibration/fit/chips.h"
#include "tests/fit/bench_points.h"

namespace trillion::fit_attention_test {
namespace {

AttentionCurve true_attention(Direction direction) {
  AttentionCurve c;
  c.direction = direction;
  c.sm_rate = FlopsPerSecond{4.6e12};
  c.tile_overhead = Seconds{1.5e-6};
  c.tail = 0.4;
  c.launch = Seconds{6e-6};
  c.memory_rate = BytesPerSecond{2e12};
  c.throttle = 0.08;
  return c;
}

TEST(FitAttention, AKernelWithoutAMaskMayBeAnother) {
  AttentionCurve truth = true_attention(Direction::backward);
  truth.unmasked = 1.5;
  RawFile file = bench_file();
  for (const std::int64_t tokens : {1024, 2048, 4096, 8192, 16384}) {
    for (const std::int64_t heads : {8, 16, 64}) {
      for (const bool causal : {true, false}) {
        const Attention a{DType::bf16, 1, heads, heads, tokens, tokens, 128, 128, causal, Direction::backward};
        add(file, a, evaluate(truth, a, 132).value());
      }
    }
  }
  AttentionCurve key;
  key.direction = Direction::backward;
  const AttentionCurve curve = fit_attention(key, points_of(file), *vendor_chip("H100"));
  EXPECT_NEAR(curve.unmasked, 1.5, 0.1);
  EXPECT_LT(curve.info.residuals.p90, 0.05);
}

TEST(FitAttention, PredictsUnseenSequences) {
  for (const Direction direction : {Direction::forward, Direction::backward}) {
    RawFile file = bench_file();
    for (const std::int64_t tokens : {1024, 1536, 2048, 3072, 4096, 8192, 16384, 32768, 65536}) {
      for (const std::int64_t heads : {2, 16, 64}) {
        const Attention a{DType::bf16, 1, heads, heads, tokens, tokens, 128, 128, true, direction};
        add(file, a, evaluate(true_attention(direction), a, 132).value());
      }
    }
    AttentionCurve key;
    key.direction = direction;
    const AttentionCurve curve = fit_attention(key, points_of(file), *vendor_chip("H100"));
    EXPECT_LT(curve.info.residuals.median, 0.03);
    const Attention unseen{DType::bf16, 2, 40, 40, 6000, 6000, 128, 128, true, direction};
    EXPECT_NEAR(evaluate(curve, unseen, 132) / evaluate(true_attention(direction), unseen, 132), 1, 0.04);
    EXPECT_EQ(curve.keys.high, 65536);
  }
}

}  // namespace
}  // namespace trillion::fit_attention_test
