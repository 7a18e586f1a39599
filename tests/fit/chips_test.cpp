// Vendor figures by any spelling of a GPU's name.
#include "calibration/fit/chips.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trillion::chips_test {
namespace {

TEST(Chips, AreKnownByAnySpelling) {
  EXPECT_EQ(vendor_chip("NVIDIA H100 80GB HBM3")->sms, 132);
  EXPECT_EQ(vendor_chip("a100-sxm4-40gb")->sms, 108);
  EXPECT_DOUBLE_EQ(vendor_chip("H800")->nvlink.value(), 200e9);
  EXPECT_DOUBLE_EQ(vendor_chip("H200")->memory_bandwidth.value(), 4.8e12);
  EXPECT_DOUBLE_EQ(vendor_chip("NVIDIA GB300 (one GPU)")->nic.value(), 100e9);
  EXPECT_DOUBLE_EQ(vendor_chip("B300")->nic.value(), 100e9);
  EXPECT_DOUBLE_EQ(vendor_chip("GB200")->peak_bf16.value(), 2500e12);
  EXPECT_DOUBLE_EQ(vendor_chip("B200")->peak_bf16.value(), 2250e12);
  EXPECT_FALSE(vendor_chip("MI300X").has_value());
}

TEST(Chips, EveryNameInTheListIsKnown) {
  for (const auto& name : known_chips()) {
    const auto chip = vendor_chip(name);
    ASSERT_TRUE(chip.has_value()) << name;
    EXPECT_EQ(chip->provenance.origin, Origin::vendor);
    EXPECT_GT(chip->peak_bf16.value(), 0);
  }
}

}  // namespace
}  // namespace trillion::chips_test
