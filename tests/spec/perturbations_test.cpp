// What is wrong with the cluster: ratios in range, several entries for one GPU multiply, draws follow the seed.
#include "sim/spec/perturbations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace trillion::perturbations_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

TEST(Perturbations, NamesEveryValueOutOfRange) {
  Perturbations p;
  p.slow_gpus = {{3, 1.2}, {64, 0.0}};
  p.slow_links = {{-1, PerturbedLink::nic, 0.5}, {0, PerturbedLink::nvlink, 2.0}};
  p.gpu_spread = -0.1;
  p.kernel_jitter = 0.9;
  EXPECT_THAT(p.validate(64), ElementsAre(StartsWith("slow_gpus[1].gpu: must be at most 63"), StartsWith("slow_gpus[1].slowdown:"),
                                          StartsWith("slow_links[0].gpu: must be at least 0"), StartsWith("slow_links[1].bandwidth:"),
                                          StartsWith("gpu_spread:"), StartsWith("kernel_jitter:")));
  EXPECT_THAT(Perturbations{}.validate(64), IsEmpty());
  EXPECT_TRUE(Perturbations{}.none());
  EXPECT_FALSE(p.none());
}

TEST(Perturbations, SeveralEntriesForOneGpuMultiply) {
  Perturbations p;
  p.slow_gpus = {{3, 1.5}, {3, 2.0}, {4, 7.0}};
  p.slow_links = {{3, PerturbedLink::nic, 0.5}, {3, PerturbedLink::nic, 0.5}, {3, PerturbedLink::nvlink, 0.75}};
  EXPECT_EQ(condition_of(p, 3, 0), (GpuCondition{3.0, 0.75, 0.25}));
  EXPECT_EQ(condition_of(p, 5, 0), GpuCondition{});
}

TEST(Perturbations, ASpreadHasItsStandardDeviation) {
  Perturbations p;
  p.gpu_spread = 0.02;
  double sum = 0, square = 0;
  constexpr int kGpus = 4096;
  for (int gpu = 0; gpu < kGpus; ++gpu) {
    const double off = condition_of(p, gpu, 7).slowdown - 1;
    sum += off;
    square += off * off;
  }
  EXPECT_NEAR(sum / kGpus, 0, 0.001);
  EXPECT_NEAR(std::sqrt(square / kGpus), 0.02, 0.001);
  EXPECT_EQ(condition_of(p, 9, 7), condition_of(p, 9, 7));
  int differ = 0;
  for (int gpu = 0; gpu < 100; ++gpu) differ += condition_of(p, gpu, 7) != condition_of(p, gpu, 8) ? 1 : 0;
  EXPECT_GT(differ, 90);
}

}  // namespace
}  // namespace trillion::perturbations_test
