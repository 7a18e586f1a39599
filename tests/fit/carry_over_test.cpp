// Memory-bound rows of a chip with another memory. What must hold: a kernel that only waits for memory scales with the copy rates,
// one that only computes keeps its time, others lie between; own rows and other kinds stay; without copies to compare, all stays.
#include "calibration/fit/carry_over.h"

#include <gtest/gtest.h>

#include "tests/fit/bench_points.h"

namespace trillion::carry_over_test {
namespace {

constexpr double kBytes = 2e8;

RawFile with_copies(double rate, bool borrowed) {
  RawFile file = bench_file();
  file.borrowed = borrowed;
  add(file, MemoryBound{MemoryKernel::copy, Bytes{kBytes}, Bytes{kBytes}}, 2 * kBytes / rate);
  return file;
}

double time_of_last(const std::vector<RawFile>& files) { return files.back().rows.back().time.value(); }

TEST(CarryOver, BytesScaleAndInstructionsStay) {
  for (const auto& [time, expected_low, expected_high] :
       {std::tuple{2 * kBytes / 3e12, 0.749, 0.751}, std::tuple{2e-2, 0.999, 1.001}, std::tuple{2.4 * kBytes / 3e12, 0.751, 0.999}}) {
    std::vector<RawFile> files = {with_copies(4e12, false), with_copies(3e12, true)};
    add(files.back(), MemoryBound{MemoryKernel::adam, Bytes{kBytes}, Bytes{kBytes}}, time);
    carry_over(files);
    EXPECT_GT(time_of_last(files) / time, expected_low);
    EXPECT_LT(time_of_last(files) / time, expected_high);
  }
}

TEST(CarryOver, LeavesEverythingElseAlone) {
  std::vector<RawFile> files = {with_copies(4e12, false), with_copies(3e12, true)};
  add(files.front(), MemoryBound{MemoryKernel::adam, Bytes{kBytes}, Bytes{kBytes}}, 1e-4);
  add(files.back(), Gemm{DType::bf16, 4096, 4096, 4096}, 2e-4);
  carry_over(files);
  EXPECT_DOUBLE_EQ(files.front().rows.back().time.value(), 1e-4);
  EXPECT_DOUBLE_EQ(time_of_last(files), 2e-4);

  files = {bench_file(), with_copies(3e12, true)};
  add(files.back(), MemoryBound{MemoryKernel::adam, Bytes{kBytes}, Bytes{kBytes}}, 1e-4);
  carry_over(files);
  EXPECT_DOUBLE_EQ(time_of_last(files), 1e-4);
}

}  // namespace
}  // namespace trillion::carry_over_test
