#include "sim/base/sim_time.h"

#include <gtest/gtest.h>

namespace trillion::sim_time_test {
namespace {

TEST(SimTime, SecondsAreRoundedUp) {
  EXPECT_EQ(SimTime::from(Seconds{0}).picoseconds(), 0);
  EXPECT_EQ(SimTime::from(Seconds{1e-12}).picoseconds(), 1);
  EXPECT_EQ(SimTime::from(Seconds{1.25e-12}).picoseconds(), 2) << "work is never shorter than its cost";
  EXPECT_EQ(SimTime::from(Seconds{1}).picoseconds(), 1'000'000'000'000);
  EXPECT_DOUBLE_EQ(SimTime(2'500'000).seconds().value(), 2.5e-6);
}

TEST(SimTime, AdditionIsExactAndChecked) {
  EXPECT_EQ((SimTime(3) + SimTime(4)).picoseconds(), 7);
  EXPECT_EQ((SimTime(3) - SimTime(4)).picoseconds(), -1);
  EXPECT_THROW(SimTime::max() + SimTime(1), InternalError);
  SimTime t(1);
  t += SimTime(2);
  EXPECT_EQ(t, SimTime(3));
  EXPECT_LT(SimTime(2), t);
}

TEST(SimTime, WhatIsOutOfRangeIsABug) {
  EXPECT_THROW(SimTime::from(Seconds{-1}), InternalError);
  EXPECT_THROW(SimTime::from(Seconds{1e7}), InternalError) << "106 days is the end";
  EXPECT_THROW(SimTime::from(Seconds{std::nan("")}), InternalError);
  EXPECT_NO_THROW(SimTime::from(Seconds{105.0 * 86400}));
}

}  // namespace
}  // namespace trillion::sim_time_test
