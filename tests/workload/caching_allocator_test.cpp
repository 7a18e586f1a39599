// PyTorch's caching allocator by its rules, in numbers that can be added up by hand:
//   reserved    grows by segments of 2 MiB, 20 MiB or the request in steps of 2 MiB, and never shrinks
//   allocated   sum of the requests, each rounded up to 512 B
//   reuse       what one stream has freed serves that stream alone; free neighbours are one
//   property    allocated <= reserved; blocks in use never overlap; freeing everything leaves 0 allocated; as many segments as before
#include "sim/workload/caching_allocator.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "sim/base/error.h"
#include "sim/base/random.h"

namespace trillion::caching_allocator_test {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

TEST(CachingAllocator, RequestsAreRoundedAndSegmentsHaveThreeSizes) {
  CachingAllocator a;
  a.allocate(1);
  EXPECT_EQ(a.allocated(), 512);
  EXPECT_EQ(a.reserved(), 2 * kMiB) << "small";
  a.allocate(3 * kMiB);
  EXPECT_EQ(a.reserved(), 22 * kMiB) << "below 10 MiB: a buffer of 20";
  a.allocate(21 * kMiB);
  EXPECT_EQ(a.reserved(), 44 * kMiB) << "in steps of 2 MiB";
  a.allocate(17 * kMiB);
  EXPECT_EQ(a.reserved(), 44 * kMiB) << "the rest of the 20";
  EXPECT_EQ(a.allocated(), 512 + 42 * kMiB) << "of the 22 the last one is too small to be split off";
}

TEST(CachingAllocator, TheSmallestBlockThatFitsIsSplit) {
  CachingAllocator a;
  const auto large = a.allocate(64 * kMiB), middle = a.allocate(32 * kMiB);
  a.free(large);
  a.free(middle);
  a.allocate(20 * kMiB);  // of the 32
  a.allocate(64 * kMiB);
  a.allocate(12 * kMiB);
  EXPECT_EQ(a.reserved(), 96 * kMiB);
  a.allocate(2 * kMiB);
  EXPECT_EQ(a.reserved(), 116 * kMiB);
}

TEST(CachingAllocator, ARestOfAMegabyteIsNotSplitOffALargeBlock) {
  CachingAllocator a;
  a.allocate(21 * kMiB);
  a.allocate(2 * kMiB);  // a buffer of 20: the 22 went whole
  EXPECT_EQ(a.allocated(), (22 + 2) * kMiB) << "the rest counts as handed out, as in PyTorch";
  EXPECT_EQ(a.reserved(), 42 * kMiB);
}

TEST(CachingAllocator, FreeNeighboursJoin) {
  CachingAllocator a;
  const auto whole = a.allocate(60 * kMiB);
  a.free(whole);
  const auto x = a.allocate(20 * kMiB), y = a.allocate(20 * kMiB), z = a.allocate(20 * kMiB);
  a.free(x);
  a.free(z);
  a.free(y);
  a.allocate(60 * kMiB);
  EXPECT_EQ(a.reserved(), 60 * kMiB);
}

TEST(CachingAllocator, FragmentsOfOtherSizesAreOfNoUse) {
  CachingAllocator a;
  std::vector<CachingAllocator::Block> blocks;
  for (int i = 0; i < 4; ++i) blocks.push_back(a.allocate(20 * kMiB));
  a.free(blocks[0]);
  a.free(blocks[2]);
  a.allocate(40 * kMiB);
  EXPECT_EQ(a.reserved(), 120 * kMiB) << "40 MiB lie free, in two pieces";
  EXPECT_EQ(a.allocated(), 80 * kMiB);
}

TEST(CachingAllocator, StreamsShareNothing) {
  CachingAllocator a;
  a.free(a.allocate(20 * kMiB, 0));
  a.allocate(20 * kMiB, 1);
  EXPECT_EQ(a.reserved(), 40 * kMiB);
}

TEST(CachingAllocator, AnExpandableSegmentGrowsAtItsEnd) {
  CachingAllocator a(true);
  const auto first = a.allocate(20 * kMiB), second = a.allocate(20 * kMiB);
  a.free(first);
  a.free(second);
  a.allocate(45 * kMiB);  // the free end and another page
  EXPECT_EQ(a.reserved(), 60 * kMiB);
  a.allocate(15 * kMiB);
  EXPECT_EQ(a.reserved(), 60 * kMiB);
}

TEST(CachingAllocator, PeaksCountFromTheLastReset) {
  CachingAllocator a;
  a.free(a.allocate(40 * kMiB));
  a.reset_peaks();
  EXPECT_EQ(a.peak_allocated(), 0);
  EXPECT_EQ(a.peak_reserved(), 40 * kMiB);
}

TEST(CachingAllocator, FreeingTwiceIsOurMistake) {
  CachingAllocator a;
  const auto block = a.allocate(kMiB);
  a.free(block);
  EXPECT_THROW(a.free(block), InternalError);
}

TEST(CachingAllocator, PropertyWhatIsInUseIsReservedAndComesBack) {
  for (const bool expandable : {false, true}) {
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      const Random random(seed, 7);
      CachingAllocator a(expandable);
      std::vector<std::pair<CachingAllocator::Block, std::int64_t>> held;
      std::int64_t sum = 0;
      for (std::uint64_t i = 0; i < 400; ++i) {
        if (!held.empty() && random.bits(3 * i) % 2 == 0) {
          const std::size_t which = random.bits(3 * i + 1) % held.size();
          sum -= a.size_of(held[which].first);
          a.free(held[which].first);
          held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
        } else {
          const auto bytes =
              static_cast<std::int64_t>(1 + random.bits(3 * i + 1) % (std::uint64_t{1} << (10 + random.bits(3 * i + 2) % 18)));
          held.emplace_back(a.allocate(bytes, static_cast<std::int32_t>(i % 2)), bytes);
          ASSERT_GE(a.size_of(held.back().first), bytes);
          sum += a.size_of(held.back().first);
        }
        ASSERT_EQ(a.allocated(), sum);
        ASSERT_LE(sum, a.reserved());
      }
      const std::int64_t reserved = a.reserved();
      for (const auto& [block, bytes] : held) a.free(block);
      EXPECT_EQ(a.allocated(), 0);
      EXPECT_EQ(a.reserved(), reserved);
    }
  }
}

}  // namespace
}  // namespace trillion::caching_allocator_test
