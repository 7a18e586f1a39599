// Four digits.
#include "calibration/fit/readable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/spec/unit_text.h"
#include "tests/fit/bench_points.h"

namespace trillion::readable_test {
namespace {

TEST(Readable, ParametersPrintWithFourDigitsAndStayWhereTheyWere) {
  GemmCurve curve = true_gemm();
  curve.sm_rate = FlopsPerSecond{5.2345678e12};
  curve.tile_overhead = Seconds{2.2222222e-6};
  curve.wave_smoothing = 0.123456789;
  make_readable(curve);
  EXPECT_EQ(quantity_text(curve.sm_rate), "5235 GFLOP/s");
  EXPECT_EQ(quantity_text(curve.tile_overhead), "2.222 us");
  EXPECT_EQ(exact_number_text(curve.wave_smoothing), "0.1235");
  GemmCurve again = curve;
  make_readable(again);
  EXPECT_EQ(again.sm_rate, curve.sm_rate);
}

}  // namespace
}  // namespace trillion::readable_test
