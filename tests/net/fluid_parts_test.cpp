// Which parts must be filled before which.
#include "sim/net/fluid_parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trillion::fluid_parts_test {
namespace {

using testing::ElementsAre;

std::uint32_t path(FluidProblem& p, const std::vector<FluidProblem::Use>& uses) { return p.add_path(uses); }

// The part that a link of the problem belongs to.
std::uint32_t part_of_link(const FluidBundles& state, std::uint32_t number) {
  for (const FluidBundles::LiveLink& link : state.live) {
    if (link.number == number) return link.part;
  }
  return static_cast<std::uint32_t>(state.parts.size());
}

TEST(FluidParts, WhoPassesALinkIsFilledBeforeIt) {
  FluidProblem p;
  p.capacities = {10, 30, 200};  // a NIC, an NVLink that its flows pass, a wider link that the NVLink's other flow passes
  p.flows = {{path(p, {{0, 1}, {1, 1}}), 1}, {path(p, {{1, 1}, {2, 1}}), 1}, {path(p, {{2, 1}}), 1}, {path(p, {{0, 1}}), 1}};
  FluidBundles state(p);
  state.bundle(2);  // even parts 5, 15 and 100
  FluidParts parts(state);
  parts.reset();
  const std::uint32_t nic = part_of_link(state, 0), nvlink = part_of_link(state, 1), wide = part_of_link(state, 2);
  ASSERT_EQ(state.parts.size(), 3u);
  EXPECT_EQ(parts.depth(nic), 0u);
  EXPECT_EQ(parts.depth(nvlink), 1u);
  EXPECT_EQ(parts.depth(wide), 2u);
  EXPECT_THAT(parts.passed_by(nic), ElementsAre(nvlink));
  EXPECT_THAT(parts.passed_by(nvlink), ElementsAre(wide));
  EXPECT_TRUE(parts.passed_by(wide).empty());
  for (const FluidBundles::Part& part : state.parts) EXPECT_TRUE(part.pairs);
}

TEST(FluidParts, WhatIsTakenIsSummedAnewOnceItChanged) {
  FluidProblem p;
  p.capacities = {10, 60};
  p.flows = {{path(p, {{0, 1}, {1, 1}}), 1}, {path(p, {{1, 1}}), 1}};
  FluidBundles state(p);
  state.bundle(2);
  FluidParts parts(state);
  parts.reset();
  const std::uint32_t nic = part_of_link(state, 0);
  ASSERT_EQ(parts.rows_of(nic).size(), 1u);
  const std::uint32_t row = parts.rows_of(nic).front(), holder = state.uses_of(state.crossings[state.passing[row].first].bundle)[0].link;
  state.holders[state.crossings[state.passing[row].first].bundle] = holder;
  state.levels[holder] = 4;
  EXPECT_EQ(state.taken_by(row).taken, 4);
  state.levels[holder] = 6;
  EXPECT_EQ(state.taken_by(row).taken, 4);  // nobody said so
  parts.changed(nic);
  EXPECT_EQ(state.taken_by(row).taken, 6);
}

TEST(FluidParts, PartsThatPassEachOtherAreNotPairs) {
  FluidProblem p;
  p.capacities = {2, 4, 8, 16, 6};  // even parts 1, 2, 4, 8 and 3: keys join the first four, each of twice the one before
  for (std::uint32_t l = 0; l < 3; ++l) p.flows.push_back({path(p, {{l, 1}, {l + 1, 1}}), 1});
  p.flows.push_back({path(p, {{0, 1}, {4, 1}}), 1});  // of the four, passes the fifth
  p.flows.push_back({path(p, {{4, 1}, {3, 1}}), 1});  // of the fifth, passes the fourth
  FluidBundles state(p);
  state.bundle(2);
  ASSERT_EQ(state.parts.size(), 2u);
  for (const FluidBundles::Part& part : state.parts) EXPECT_TRUE(part.pairs);
  FluidParts parts(state);
  parts.reset();
  for (std::uint32_t q = 0; q < 2; ++q) {
    EXPECT_THAT(parts.passed_by(q), ElementsAre(1 - q));
    EXPECT_FALSE(state.parts[q].pairs);
  }
  // All the same: 1, 1, 3, 5 and 11 at first.
  const std::vector<double> ends = flow_ends(p);
  for (const double end : ends) EXPECT_TRUE(end > 0 && end <= 1);
}

}  // namespace
}  // namespace trillion::fluid_parts_test
