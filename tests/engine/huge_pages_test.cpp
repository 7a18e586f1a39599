// reserve_large is reserve: room is made, contents stay, nothing shrinks; and advice is harmless for any range.
#include "sim/engine/huge_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>

namespace trillion::huge_pages_test {
namespace {

TEST(HugePages, ReserveMakesRoomAndKeepsContents) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{1000}, std::size_t{3} << 20}) {
    std::vector<std::uint64_t> numbers{1, 2, 3};
    reserve_large(numbers, count);
    ASSERT_GE(numbers.capacity(), count);
    const std::uint64_t* before = numbers.data();
    numbers.resize(std::max<std::size_t>(count, 3), 7);
    EXPECT_EQ(numbers.data(), before) << "growing within the room moves nothing";
    EXPECT_EQ(numbers[2], 3u);
    EXPECT_EQ(std::accumulate(numbers.begin(), numbers.end(), std::uint64_t{0}), 6 + 7 * (numbers.size() - 3));
  }
}

TEST(HugePages, ReservingLessChangesNothing) {
  std::vector<int> numbers(100);
  const std::size_t capacity = numbers.capacity();
  reserve_large(numbers, 10);
  EXPECT_EQ(numbers.capacity(), capacity);
}

TEST(HugePages, AdviceOnAnyRangeKeepsItsBytes) {
  std::vector<unsigned char> bytes(std::size_t{5} << 20, 9);
  for (const std::size_t offset : {0u, 1u, 4095u, 1u << 21}) advise_huge_pages(bytes.data() + offset, bytes.size() - offset);
  EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [](unsigned char b) { return b == 9; }));
}

}  // namespace
}  // namespace trillion::huge_pages_test
