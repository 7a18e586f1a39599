// Calibrations as values: what validate() names, what the redraw moves.
#include "sim/spec/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/timing/bench_calibration.h"

namespace trillion::calibration_test {
namespace {

using testing::HasSubstr;

TEST(Calibration, ValidateNamesWhatCannotBe) {
  Calibration c = bench_calibration();
  EXPECT_THAT(c.validate(), testing::IsEmpty());
  c.gemms.push_back(c.gemms.front());
  c.gemms.front().sm_rate = FlopsPerSecond{0};
  c.chip.sms = 0;
  EXPECT_THAT(c.validate(), testing::UnorderedElementsAre(HasSubstr("twice"), HasSubstr("sm_rate"), HasSubstr("sms")));
}

TEST(Calibration, NamesTellCurvesApart) {
  GemmCurve gemm;
  gemm.dtype = DType::fp8_block;
  gemm.layout = GemmLayout::weight_gradient;
  gemm.accumulate_fp32 = true;
  gemm.load = Load::sustained;
  EXPECT_EQ(curve_name(gemm), "gemm fp8_block weight_gradient accumulate sustained");
  AttentionCurve attention;
  attention.qk_dim = 192;
  attention.direction = Direction::backward;
  EXPECT_EQ(curve_name(attention), "attention bf16 192/128 backward burst");
}

TEST(Calibration, ARedrawIsAFunctionOfItsSeed) {
  const Calibration c = bench_calibration();
  EXPECT_EQ(redraw(c, 5).gemms[0].info.scale, redraw(c, 5).gemms[0].info.scale);
  EXPECT_NE(redraw(c, 5).gemms[0].info.scale, redraw(c, 6).gemms[0].info.scale);
  EXPECT_NE(redraw(c, 5).gemms[0].info.scale, redraw(c, 5).attentions[0].info.scale);
}

}  // namespace
}  // namespace trillion::calibration_test
