// A link's clock moves what it holds; a bundle that changes hands keeps what it has left.
#include "sim/net/fluid_clocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trillion {
namespace {

using testing::ElementsAre;

// Two links of 10; a flow of 30 over both and one of 100 over each.
FluidProblem two_links() {
  FluidProblem p;
  p.capacities = {10, 10};
  const auto path = [&](std::vector<FluidProblem::Use> uses) { return p.add_path(uses); };
  p.flows = {{path({{0, 1}, {1, 1}}), 30}, {path({{0, 1}}), 100}, {path({{1, 1}}), 100}};
  return p;
}

struct Clocks {
  FluidProblem problem = two_links();
  FluidBundles state{problem};
  FluidClocks clocks{state};

  Clocks() {
    state.bundle(2);
    clocks.reset();
  }
  void set_level(std::uint32_t link, double level, double now) {
    state.levels[link] = level;
    clocks.set_next(link, now);
  }
};

TEST(FluidClocks, ALinkEndsTheFirstOfWhatItHolds) {
  Clocks c;
  c.clocks.hold(0, 0);
  c.clocks.hold(0, 1);
  c.clocks.hold(1, 2);
  c.set_level(0, 5, 0);
  c.set_level(1, 5, 0);
  EXPECT_EQ(c.clocks.soonest(), 6);
  EXPECT_THAT(c.clocks.due(6), ElementsAre(0));
  EXPECT_THAT(c.clocks.due_bundles(0), ElementsAre(0));
  c.state.take_next(0);
  c.clocks.ended(0, 30);
  for (const std::uint32_t link : {0u, 1u}) {
    c.clocks.advance(link, 6);
    c.set_level(link, 10, 6);
  }
  EXPECT_EQ(c.clocks.soonest(), 13);  // 70 are left of 100
}

TEST(FluidClocks, WhoChangesHandsKeepsWhatIsLeft) {
  Clocks c;
  c.clocks.hold(0, 0);
  c.clocks.hold(0, 1);
  c.clocks.hold(1, 2);
  c.set_level(0, 5, 0);
  c.set_level(1, 8, 0);
  for (const std::uint32_t link : {0u, 1u}) c.clocks.advance(link, 4);  // clocks at 20 and 32
  c.clocks.hold(1, 0);
  c.set_level(0, 5, 4);
  c.set_level(1, 2, 4);
  EXPECT_EQ(c.clocks.soonest(), 9);  // 10 left at 2
  c.clocks.note_left(5);
  EXPECT_THAT(c.state.left, ElementsAre(8, 75, 66));
}

TEST(FluidClocks, ABundleAboveItsGuardIsLookedAt) {
  FluidProblem p;
  p.capacities = {30, 10, 10};
  const std::vector<FluidProblem::Use> first = {{0, 1}, {1, 1}}, second = {{0, 1}, {2, 1}};
  p.flows = {{p.add_path(first), 100}, {p.add_path(second), 100}};
  FluidBundles state(p);
  FluidClocks clocks(state);
  state.bundle(1.2);  // guards of 15, since two share the link of 30
  clocks.reset();
  clocks.hold(0, 0);
  clocks.hold(1, 1);
  const auto set_levels = [&](double a, double b) {
    state.levels[0] = a;
    state.levels[1] = b;
    clocks.set_next(0, 0);
    clocks.set_next(1, 0);
    return clocks.guarded();
  };
  EXPECT_TRUE(set_levels(14, 15));
  EXPECT_TRUE(set_levels(10, 18));
  EXPECT_FALSE(set_levels(14, 18));
}

TEST(FluidClocks, TheLowestOfNothingIsNever) {
  EXPECT_EQ(lowest_of({}), FluidClocks::kNever);
  for (std::size_t n = 1; n < 12; ++n) {
    for (std::size_t at = 0; at < n; ++at) {
      std::vector<double> values(n, 2.0);
      values[at] = 1;
      EXPECT_EQ(lowest_of(values), 1);
    }
  }
  EXPECT_EQ(value_if(true, 1.5), 1.5);
  EXPECT_EQ(value_if(false, FluidClocks::kNever), 0);
}

}  // namespace
}  // namespace trillion
