// Which flows are bundled, and when a bundle must not stay one.
#include "sim/net/fluid_bundles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trillion::fluid_bundles_test {
namespace {

using testing::ElementsAre;

// Two flows over NVLinks 0 and 1 of 30 into one NIC (2) of 10, and one that stays on NVLink 0.
FluidProblem two_senders() {
  FluidProblem p;
  p.capacities = {30, 30, 10};
  const auto path = [&](std::vector<FluidProblem::Use> uses) { return p.add_path(uses); };
  p.flows = {{path({{0, 1}, {2, 1}}), 40}, {path({{1, 1}, {2, 1}}), 20}, {path({{0, 1}}), 100}};
  return p;
}

TEST(FluidBundles, FlowsThatOnlyANarrowLinkHoldsBackAreOne) {
  const FluidProblem p = two_senders();
  FluidBundles state(p);
  state.bundle(0, 2);  // even parts: 15 and 30 of the NVLinks, 5 of the NIC
  ASSERT_EQ(state.bundles.size(), 2u);
  EXPECT_THAT(state.live, ElementsAre(0, 2));  // NVLink 1 holds nobody back
  EXPECT_EQ(state.bundles[0].guard, 15);       // NVLink 0 is passed and NVLink 1 left out: 15 is the lower part
  EXPECT_EQ(state.bundles[0].next, 20);
  EXPECT_EQ(state.take_next(0), 1u);  // in order of bytes
  EXPECT_EQ(state.bundles[0].next, 40);
}

TEST(FluidBundles, WhoPassesALinkOfAnotherKeyCountsThere) {
  const FluidProblem p = two_senders();
  FluidBundles state(p);
  state.bundle(0, 2);
  double on_nvlink = 0, on_nic = 0;
  for (const FluidBundles::Crossing& c : state.crossings(0)) on_nvlink += state.uses[c.use].weight;
  for (const FluidBundles::Crossing& c : state.crossings(2)) on_nic += state.uses[c.use].weight;
  EXPECT_EQ(on_nvlink, 2);
  EXPECT_EQ(on_nic, 2);
}

TEST(FluidBundles, WithEnoughReachEveryLinkIsInAKey) {
  const FluidProblem p = two_senders();
  FluidBundles state(p);
  state.bundle(0, 100);
  EXPECT_EQ(state.bundles.size(), 3u);
  EXPECT_THAT(state.live, ElementsAre(0, 1, 2));
  for (const FluidBundles::Bundle& b : state.bundles) EXPECT_EQ(b.guard, FluidBundles::kNever);
}

TEST(FluidBundles, AGuardIsRaisedByWhatLinksHaveLeftUntilOneIsFull) {
  FluidProblem p;
  p.capacities = {30, 10, 10};  // one wide link before two narrow ones
  const std::vector<FluidProblem::Use> first = {{0, 1}, {1, 1}}, second = {{0, 1}, {2, 1}};
  p.flows = {{p.add_path(first), 1}, {p.add_path(second), 1}};
  FluidBundles state(p);
  state.bundle(0, 1.2);  // even parts: 15, 10 and 10
  ASSERT_EQ(state.bundles.size(), 2u);
  EXPECT_EQ(state.bundles[0].guard, 15);
  state.rates = {16, 10};
  EXPECT_TRUE(state.guarded(0));
  EXPECT_EQ(state.bundles[0].guard, 18);  // 4 are left, 2 for each
  EXPECT_EQ(state.bundles[1].guard, 12);
  state.rates = {16, 15};
  EXPECT_FALSE(state.guarded(1));
}

TEST(FluidBundles, BytesMovedSurviveBundlingAnew) {
  const FluidProblem p = two_senders();
  FluidBundles state(p);
  state.bundle(0, 2);
  state.rates = {5, 25};
  state.bundle(2, 2);
  EXPECT_EQ(state.bundles[0].next, 10);  // of 20
  EXPECT_EQ(state.bundles[1].next, 50);  // of 100
}

}  // namespace
}  // namespace trillion::fluid_bundles_test
