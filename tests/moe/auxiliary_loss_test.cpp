// What a balancing loss leaves. The algebra, for the equilibrium x = x0 - g (f(x) - 1):
//   no pull, or equal experts: nothing changes; a stronger pull leaves less; the order of the experts stays
//   in equilibrium every affinity's distance from what was learnt is g times its load beyond the mean
//   batch-wise moves all domains of an expert alike, sequence-wise each by its own load
#include "sim/moe/auxiliary_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace trillion::auxiliary_loss_test {
namespace {

constexpr std::int64_t kExperts = 64, kTopK = 6;
const Affinities kLearnt = draw_affinities(kExperts, {0.6, 1.1, 4}, 7, 0);

double spread(const Affinities& a, std::int64_t domain) {
  double mean = 0, square = 0;
  for (std::int64_t e = 0; e < a.experts; ++e) mean += a.at(domain, e) / static_cast<double>(a.experts);
  for (std::int64_t e = 0; e < a.experts; ++e)
    square += (a.at(domain, e) - mean) * (a.at(domain, e) - mean) / static_cast<double>(a.experts);
  return std::sqrt(square);
}

TEST(AuxiliaryLoss, NoPullChangesNothing) {
  EXPECT_EQ(after_sequence_loss(kLearnt, kTopK, 0).log_weight, kLearnt.log_weight);
  EXPECT_EQ(after_batch_loss(kLearnt, kTopK, 0).log_weight, kLearnt.log_weight);
  const Affinities equal = draw_affinities(kExperts, {0, 0, 2}, 1, 0);
  for (const double x : after_sequence_loss(equal, kTopK, 3).log_weight) EXPECT_NEAR(x, 0, 1e-5);
}

TEST(AuxiliaryLoss, AStrongerPullLeavesLess) {
  double last = spread(kLearnt, 0);
  for (const double pull : {0.3, 1.6, 10.0, 100.0}) {
    const Affinities left = after_sequence_loss(kLearnt, kTopK, pull);
    EXPECT_LT(spread(left, 0), last);
    last = spread(left, 0);
    for (std::int64_t e = 1; e < kExperts; ++e) {
      EXPECT_EQ(left.at(0, e) > left.at(0, e - 1), kLearnt.at(0, e) > kLearnt.at(0, e - 1)) << "the order stays";
    }
  }
  EXPECT_LT(last, 0.05);
}

TEST(AuxiliaryLoss, BothPullsAreInEquilibrium) {
  const double pull = 1.6;
  const Affinities left = after_sequence_loss(kLearnt, kTopK, pull);
  // The loads that the distances say must add up to a mean of 1, and rise with the affinity that is left.
  for (std::int64_t d = 0; d < kLearnt.domains; ++d) {
    double sum = 0;
    std::vector<std::pair<double, double>> by_affinity;
    for (std::int64_t e = 0; e < kExperts; ++e) {
      const double load = 1 + (kLearnt.at(d, e) - left.at(d, e)) / pull;
      EXPECT_GT(load, 0);
      sum += load / kExperts;
      by_affinity.emplace_back(left.at(d, e), load);
    }
    EXPECT_NEAR(sum, 1, 1e-4);
    std::sort(by_affinity.begin(), by_affinity.end());
    EXPECT_TRUE(std::is_sorted(by_affinity.begin(), by_affinity.end(), [](auto a, auto b) { return a.second < b.second - 1e-9; }));
  }
}

TEST(AuxiliaryLoss, ABatchMovesAllDomainsAlike) {
  const Affinities left = after_batch_loss(kLearnt, kTopK, 50);
  for (std::int64_t e = 0; e < kExperts; ++e)
    for (std::int64_t d = 1; d < kLearnt.domains; ++d)
      EXPECT_NEAR(left.at(d, e) - kLearnt.at(d, e), left.at(0, e) - kLearnt.at(0, e), 1e-12);
  EXPECT_GT(spread(left, 0), 3 * spread(after_sequence_loss(kLearnt, kTopK, 50), 0)) << "domains keep their favourites";
}

}  // namespace
}  // namespace trillion::auxiliary_loss_test
