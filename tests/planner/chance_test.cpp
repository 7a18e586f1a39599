// Who may still be chosen. The algebra, over random layouts whose true times are at or above their bounds:
//   safe     asking the open ones until none is open finds the first `keep`, the best of every value and the front of those within reach
//   thrifty  not everybody is asked
//   front    keeps those that nobody is no worse than
#include "sim/planner/chance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "sim/base/random.h"

namespace trillion::chance_test {
namespace {

Corner corner(double time, double peak) { return {time, time, Bytes{peak}}; }

TEST(Chance, PropertyTheOpenOnesAreEnough) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Random random(seed, 7);
    std::uint64_t draws = 0;
    const auto draw = [&] { return random.uniform(draws++); };
    std::vector<Chance> chances;
    std::vector<Chance::Known> truth;
    for (int i = 0; i < 400; ++i) {
      const double bound = 1 + i / 400.0, time = bound * (1 + 0.15 * draw()), peak = 10 + 60 * draw();
      chances.push_back({{0, bound}, corner(bound, peak), {static_cast<std::uint32_t>(i % 7), static_cast<std::uint32_t>(7 + i % 3)}, {}});
      truth.push_back({{0, time}, corner(time, peak)});
    }
    const ChanceLimits limits{.keep = 5, .reach = 1.3};
    std::size_t asked = 0;
    for (auto open = open_chances(chances, 10, limits); !open.empty(); open = open_chances(chances, 10, limits)) {
      open.resize(std::min<std::size_t>(open.size(), 20));
      for (const std::size_t i : open) chances[i].known = truth[i], ++asked;
    }
    EXPECT_LT(asked, 300u) << "seed " << seed;
    std::vector<std::size_t> order(truth.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return truth[a].score < truth[b].score; });
    for (std::size_t i = 0; i < 5; ++i) EXPECT_TRUE(chances[order[i]].known) << "seed " << seed << ", place " << i;
    std::map<std::uint32_t, bool> seen;
    for (const std::size_t i : order) {
      for (const std::uint32_t v : chances[i].values) {
        const bool first = seen.emplace(v, true).second;
        EXPECT_TRUE(!first || chances[i].known) << "seed " << seed << ", the best of value " << v;
      }
      const bool on_front =
          std::none_of(order.begin(), order.end(), [&](std::size_t j) { return j != i && truth[j].corner.no_worse_than(truth[i].corner); });
      const bool within_reach = truth[i].score.value <= 1.3 * truth[order.front()].score.value;
      EXPECT_TRUE(!on_front || !within_reach || chances[i].known) << "seed " << seed << ", on the front";
    }
  }
}

TEST(Chance, AFrontKeepsThoseThatNobodyBeats) {
  Front front;
  front.add(corner(2, 20));
  front.add(corner(3, 30));
  EXPECT_EQ(front.size(), 1u) << "slower and larger";
  front.add(corner(3, 10));
  EXPECT_EQ(front.size(), 2u);
  front.add(corner(1, 5));
  EXPECT_EQ(front.size(), 1u) << "beats them all";
  EXPECT_TRUE(front.beats(corner(1, 5)));
  EXPECT_FALSE(front.beats(corner(0.5, 50)));
}

}  // namespace
}  // namespace trillion::chance_test
