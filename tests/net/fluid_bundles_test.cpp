// Which flows are bundled, and when a bundle must not stay one.
#include "sim/net/fluid_bundles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/net/support/bundled_flows.h"

namespace trillion::fluid_bundles_test {
namespace {

using namespace testing_support;
using testing::ElementsAre;

std::vector<std::uint32_t> live_numbers(const FluidBundles& state) {
  std::vector<std::uint32_t> numbers;
  for (const FluidBundles::LiveLink& link : state.live) numbers.push_back(link.number);
  return numbers;
}

double weight_on(const FluidBundles& state, std::uint32_t live) {
  double sum = 0;
  for (std::uint32_t c = state.live[live].first; c < state.live[live].end; ++c) sum += state.crossings[c].weight;
  return sum;
}

TEST(FluidBundles, FlowsThatOnlyANarrowLinkHoldsBackAreOne) {
  const FluidProblem p = two_senders();
  FluidBundles state(p);
  state.bundle(2);  // even parts: 15 and 30 of the NVLinks, 5 of the NIC
  ASSERT_EQ(state.bundles.size(), 2u);
  EXPECT_THAT(live_numbers(state), ElementsAre(0, 2));  // NVLink 1 holds nobody back
  EXPECT_EQ(state.guards[0], 15);                       // NVLink 0 is passed and NVLink 1 left out: 15 is the lower part
  EXPECT_EQ(state.bundles[0].next, 20);
  EXPECT_EQ(state.take_next(0), 1u);  // in order of bytes
  EXPECT_EQ(state.bundles[0].next, 40);
}

TEST(FluidBundles, WhoPassesALinkOfAnotherKeyCountsThere) {
  const FluidProblem p = two_senders();
  FluidBundles state(p);
  state.bundle(2);
  EXPECT_EQ(weight_on(state, 0), 2);
  EXPECT_EQ(weight_on(state, 1), 2);
  // Keys connect nothing: the NIC's part comes first, for its bundle passes the other's link.
  EXPECT_EQ(state.parts.size(), 2u);
  ASSERT_EQ(state.passing.size(), 1u);
  EXPECT_EQ(state.passing[0].link, 0u);
  set_rates(state, {5, 20});
  EXPECT_EQ(state.taken_by(0).taken, 5);  // by one of the bundle's flows
  EXPECT_EQ(state.taken_by(0).highest, 5);
  // Two bundles cross the NVLink, one has it in its key; when the other is over and swept out, that one is left.
  EXPECT_EQ(state.live[0].first_passing - state.live[0].first, 1u);
  EXPECT_EQ(state.live[0].end - state.live[0].first, 2u);
  state.take_next(0);
  EXPECT_EQ(state.live[0].over, 0u);
  state.take_next(0);
  ASSERT_EQ(state.live[0].over, 1u);
  state.sweep(0);
  EXPECT_EQ(state.live[0].end - state.live[0].first, 1u);
  EXPECT_EQ(weight_on(state, 0), 1);
}

TEST(FluidBundles, WithEnoughReachEveryLinkIsInAKey) {
  const FluidProblem p = two_senders();
  FluidBundles state(p);
  state.bundle(100);
  EXPECT_EQ(state.bundles.size(), 3u);
  EXPECT_THAT(live_numbers(state), ElementsAre(0, 1, 2));
  for (const double guard : state.guards) EXPECT_EQ(guard, FluidBundles::kNever);
}

TEST(FluidBundles, WhatNoBundleConnectsIsAPartOfItsOwn) {
  FluidProblem p;
  p.capacities = {10, 10, 10, 10, 10};
  const auto path = [&](std::vector<FluidProblem::Use> uses) { return p.add_path(uses); };
  p.flows = {{path({{0, 1}, {3, 1}}), 1}, {path({{1, 1}, {2, 1}, {4, 1}}), 1}};
  FluidBundles state(p);
  state.bundle(2);
  ASSERT_EQ(state.parts.size(), 2u);
  EXPECT_THAT(live_numbers(state), ElementsAre(0, 3, 1, 2, 4));
  EXPECT_EQ(state.parts[1].first, 2u);
  EXPECT_EQ(state.parts[1].count, 3u);
  EXPECT_TRUE(state.parts[0].pairs);
  EXPECT_FALSE(state.parts[1].pairs);
  EXPECT_EQ(state.crossings[state.live[0].first].other, 1u);
}

TEST(FluidBundles, BytesMovedSurviveBundlingAnew) {
  const FluidProblem p = two_senders();
  FluidBundles state(p);
  state.bundle(2);
  state.left = {10, 50};  // after 2 s at 5 and 25
  state.bundle(2);
  EXPECT_EQ(state.bundles[0].next, 10);  // of 20
  EXPECT_EQ(state.bundles[1].next, 50);  // of 100
}

}  // namespace
}  // namespace trillion::fluid_bundles_test
