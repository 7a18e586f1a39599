// Writing a profile: read(text(c)) writes the same text again, to the last bit, with every optional part set.
#include <gtest/gtest.h>

#include "sim/spec/load_calibration.h"
#include "tests/timing/bench_calibration.h"

namespace trillion::calibration_text_test {
namespace {

TEST(CalibrationText, IsReadBackToTheLastBit) {
  Calibration c = bench_calibration();
  for_each_figure(c.stack, [](const char*, auto& figure) { figure.provenance = {Origin::assumed, "a \"quoted\" reason"}; });
  c.chip.provenance = {Origin::vendor, "a sheet"};
  c.stack.fused.value = {"add+rms_norm"};
  c.stack.torch_memory.value = {TorchMemorySetting::expandable_segments};
  GemmCurve grouped = c.gemms[0];
  grouped.grouped = grouped.one_by_one = true;
  grouped.split_cost = Seconds{1.0 / 3e6};
  grouped.misaligned = 0.1, grouped.off_sector = 1.0 / 3;
  grouped.correction = {{0, 1}, {5, 6.5}, {0.1, -0.25, 0.5, 1e-4}};
  c.gemms.push_back(grouped);
  c.memory_kernels[0].bytes = {1000, 2000};
  c.memory_kernels[0].seconds = {1e-6, 1.1e-6};
  c.memory_kernels[0].sm_exponent = 0.7;
  c.memory_kernels[0].row_root = Seconds{1.25e-7};
  c.attentions[0].throttle = 0.06;
  c.attentions[0].unmasked = 1.5;
  c.collectives[0].local = BytesPerSecond{1e12 / 3};
  c.collectives[0].sms = 24;
  c.collectives[0].knots = {{2, {1024, 4096}, {1e-5, 1e-5 / 0.3}}, {4, {1024, 8192}, {1e-5, 2e-5}}};
  c.attentions[0].info.scale = 1.0625;
  const std::string text = calibration_text(c);
  Diagnostics diagnostics;
  YamlReader reader = YamlReader::open(YamlDocument::from_text(text, "profile.yaml"), diagnostics);
  const Calibration again = read_calibration(reader);
  reader.finish();
  diagnostics.throw_if_any();
  EXPECT_EQ(calibration_text(again), text);
  EXPECT_EQ(again.gemms[1].correction.ln_factor, grouped.correction.ln_factor);
  EXPECT_EQ(again.gemms[1].split_cost, grouped.split_cost);
  EXPECT_EQ(again.gemms[1].off_sector, grouped.off_sector);
  ASSERT_EQ(again.collectives[0].knots.size(), 2u);
  EXPECT_EQ(again.collectives[0].knots[1].seconds, c.collectives[0].knots[1].seconds);
  EXPECT_EQ(again.curves().size(), c.curves().size());
}

}  // namespace
}  // namespace trillion::calibration_text_test
