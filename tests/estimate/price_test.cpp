// Time to money and energy. The algebra: GPU-hours = GPUs x hours; rent = price x GPU-hours; energy = (GPU + its share of the node)
// x PUE x hours. Nothing is paid where no price is known.
#include "sim/estimate/price.h"

#include <gtest/gtest.h>

#include "tests/support/linear_machine.h"

namespace trillion::price_test {
namespace {

using namespace testing_support;

TEST(Price, GpuHoursCountEveryGpu) {
  EXPECT_DOUBLE_EQ(gpu_hours(Seconds{3600}, 1), 1);
  EXPECT_DOUBLE_EQ(gpu_hours(Seconds{90}, 2048), 2048 * 0.025);
}

TEST(Price, RentIsThePricePerGpuHour) {
  Cluster cluster = linear_cluster(4);
  EXPECT_FALSE(rent(1000, cluster));
  cluster.price = Price{UsdPerSecond{2.0 / 3600}, {}};
  EXPECT_DOUBLE_EQ(rent(1000, cluster)->value(), 2000);
  EXPECT_DOUBLE_EQ(rent(0, cluster)->value(), 0);
}

TEST(Price, EnergyIsEveryGpuAtItsLimitWithItsShareOfTheNode) {
  Cluster cluster = linear_cluster(4);  // 8 GPUs of 700 W
  EXPECT_FALSE(energy(1, cluster));
  cluster.power = Power{.node_other = Watts{2400}, .pue = 1.25, .energy_price = {}, .provenance = {}};
  EXPECT_DOUBLE_EQ(energy(1, cluster)->value(), (700 + 300) * 1.25 * 3600);
  EXPECT_DOUBLE_EQ(energy(10, cluster)->value(), 10 * energy(1, cluster)->value());
}

}  // namespace
}  // namespace trillion::price_test
