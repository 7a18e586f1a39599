// What is known of links that no bundle has in its key.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/net/fluid_bundles.h"
#include "tests/net/support/bundled_flows.h"

namespace trillion::fluid_guards_test {
namespace {

using namespace testing_support;
using testing::ElementsAre;

TEST(FluidGuards, ALinkThatNobodysKeyNeedsAnyMoreIsLeftOut) {
  const FluidProblem p = two_senders();
  FluidBundles state(p);
  state.bundle(2);
  EXPECT_EQ(state.take_next(1), 2u);  // of the flow that stays on the NVLink
  EXPECT_THAT(state.keyless, ElementsAre(0));
  state.leave_out(0);
  EXPECT_EQ(state.parts[state.live[0].part].open, 0u);
  EXPECT_EQ(state.live[0].first, state.live[0].end);
  EXPECT_THAT(state.fallen, ElementsAre(0));
  EXPECT_EQ(state.guards[0], 15);  // the lowest even part there was; one flow is left of two, so it will be raised when it is asked for
  set_rates(state, {20, 0});
  EXPECT_TRUE(state.guarded(0));
  EXPECT_EQ(state.guards[0], 30);
  EXPECT_EQ(state.uses_of(0).size(), 1u);
}

TEST(FluidGuards, AGuardIsRaisedByWhatLinksHaveLeftUntilOneIsFull) {
  FluidProblem p;
  p.capacities = {30, 10, 10};  // one wide link before two narrow ones
  const std::vector<FluidProblem::Use> first = {{0, 1}, {1, 1}}, second = {{0, 1}, {2, 1}};
  p.flows = {{p.add_path(first), 1}, {p.add_path(second), 1}};
  FluidBundles state(p);
  state.bundle(1.2);  // even parts: 15, 10 and 10
  ASSERT_EQ(state.bundles.size(), 2u);
  EXPECT_EQ(state.guards[0], 15);
  set_rates(state, {16, 10});
  EXPECT_TRUE(state.guarded(0));
  EXPECT_THAT(state.fallen, ElementsAre(0, 1));
  EXPECT_EQ(state.guards[0], 18);  // 4 are left, 2 for each
  EXPECT_EQ(state.guards[1], 12);
  set_rates(state, {16, 15});
  EXPECT_FALSE(state.guarded(1));
}

TEST(FluidGuards, WhenFlowsEndEvenPartsAreGuardEnough) {
  FluidProblem p;
  p.capacities = {30, 10, 10};
  const std::vector<FluidProblem::Use> first = {{0, 1}, {1, 1}}, second = {{0, 1}, {2, 1}};
  p.flows = {{p.add_path(first), 1}, {p.add_path(second), 1}};
  FluidBundles state(p);
  state.bundle(1.2);
  state.take_next(1);
  set_rates(state, {16, 0});
  EXPECT_TRUE(state.guarded(0));
  EXPECT_EQ(state.guards[0], 30);
  EXPECT_TRUE(state.fallen.empty());
}

}  // namespace
}  // namespace trillion::fluid_guards_test
