// Every index once, whatever the number of threads; the lowest index's exception.
#include "sim/base/parallel_for.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

namespace trillion::parallel_for_test {
namespace {

TEST(ParallelFor, EveryIndexOnce) {
  for (const unsigned threads : {0u, 1u, 2u, 7u, 64u}) {
    for (const std::size_t count : {0u, 1u, 2u, 63u, 1000u}) {
      std::vector<int> times(count, 0);
      parallel_for(count, threads, [&](std::size_t i) { ++times[i]; });
      EXPECT_EQ(times, std::vector<int>(count, 1)) << threads << " threads, " << count << " indices";
    }
  }
}

TEST(ParallelFor, TheFirstExceptionWinsAndAllThreadsEnd) {
  for (const unsigned threads : {1u, 2u, 8u}) {
    std::atomic<int> running = 0;
    std::string caught;
    try {
      parallel_for(200, threads, [&](std::size_t i) {
        ++running;
        const bool fails = i == 17 || i == 18 || i == 150;
        --running;
        if (fails) throw std::runtime_error(std::to_string(i));
      });
    } catch (const std::runtime_error& e) {
      caught = e.what();
    }
    EXPECT_EQ(caught, "17") << threads << " threads";
    EXPECT_EQ(running, 0);
  }
}

}  // namespace
}  // namespace trillion::parallel_for_test
