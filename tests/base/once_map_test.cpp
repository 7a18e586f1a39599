#include "sim/base/once_map.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>

#include "sim/base/parallel_for.h"

namespace trillion::once_map_test {
namespace {

TEST(OnceMap, MakesAValueOnceAndKeepsItInPlace) {
  OnceMap<int, std::string> map;
  int made = 0;
  const auto make = [&] { return std::to_string(++made); };
  const std::string& first = map.get(7, make);
  EXPECT_EQ(first, "1");
  EXPECT_EQ(map.get(8, make), "2");
  EXPECT_EQ(&map.get(7, make), &first);
  EXPECT_EQ(made, 2);
}

TEST(OnceMap, FindsOnlyWhatWasMade) {
  OnceMap<int, int> map;
  EXPECT_EQ(map.find(1), nullptr);
  const int& made = map.get(1, [&] {
    EXPECT_EQ(map.find(1), nullptr) << "it is being made";
    return 5;
  });
  EXPECT_EQ(map.find(1), &made);
  EXPECT_EQ(map.find(2), nullptr);
}

TEST(OnceMap, ManyThreadsShareOneMaking) {
  OnceMap<std::size_t, std::size_t> map;
  std::atomic<int> made = 0;
  parallel_for(1000, 4, [&](std::size_t i) { EXPECT_EQ(map.get(i % 10, [&] { return ++made, i % 10; }), i % 10); });
  EXPECT_EQ(made, 10);
}

}  // namespace
}  // namespace trillion::once_map_test
