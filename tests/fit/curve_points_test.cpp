// Rows go to the curve of their key; of a curve's rows the fastest path's, the measured and the own ones count first.
#include "calibration/fit/curve_points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "calibration/fit/chips.h"
#include "tests/fit/bench_points.h"

namespace trillion::curve_points_test {
namespace {

const Gemm kGemm{DType::bf16, 1024, 1024, 1024};

SortedPoints sorted(const std::vector<RawFile>& files) { return sort_points(files, *vendor_chip("H100")); }

TEST(CurvePoints, EveryRowIsOnceInTheCurveOfItsKey) {
  RawFile file = bench_file();
  add(file, kGemm, 1e-5);
  add(file, Gemm{DType::fp8, 1024, 1024, 1024}, 1e-5);
  add(file, MemoryBound{MemoryKernel::copy, Bytes{1e6}, Bytes{1e6}}, 1e-5);
  add(file, Collective{CollectiveKind::all_gather, Bytes{1e6}, 4, 4, {}}, 1e-5);
  add(file, Collective{CollectiveKind::expert_dispatch, Bytes{1e6}, 4, 4, {}}, 1e-5);
  file.rows.push_back(file.rows.front());
  file.rows.back().query.load = Load::sustained;
  const SortedPoints points = sorted({file});
  EXPECT_EQ(points.gemms.size(), 3u);
  EXPECT_EQ(points.memory_kernels.size(), 1u);
  EXPECT_EQ(points.collectives.size(), 1u);
  EXPECT_EQ(points.experts.size(), 1u);
  EXPECT_TRUE(points.attentions.empty());
}

// Layouts that are one call to the library: each curve has the rows of both, and a product measured in both is one of a fold.
TEST(CurvePoints, SameCallsShareTheirRows) {
  using enum GemmLayout;
  const auto counts = [](DType dtype, bool accumulate) {
    RawFile file = bench_file();
    std::int64_t m = 1024;
    for (const GemmLayout layout : {forward, input_gradient, input_gradient, weight_gradient, weight_gradient, weight_gradient})
      add(file, Gemm{dtype, m += 128, 1024, 1024, layout, accumulate && layout == weight_gradient}, 1e-5);
    std::map<GemmLayout, std::size_t> count;
    for (const auto& [name, entry] : sorted({file}).gemms) count[entry.first.layout] = entry.second.at("").size();
    return std::vector<std::size_t>{count[forward], count[input_gradient], count[weight_gradient]};
  };
  EXPECT_EQ(counts(DType::bf16, false), (std::vector<std::size_t>{1, 2, 3}));
  EXPECT_EQ(counts(DType::fp8, false), (std::vector<std::size_t>{1, 5, 5}));  // forward accumulates faster
  EXPECT_EQ(counts(DType::fp8, true), (std::vector<std::size_t>{1, 2, 3}));
  EXPECT_EQ(counts(DType::fp8_block, false), (std::vector<std::size_t>{3, 3, 3}));  // a weight gradient has vectors on both sides
  RawFile file = bench_file();
  add(file, Gemm{DType::fp8, 1024, 1024, 1024, input_gradient}, 1e-5);
  add(file, Gemm{DType::fp8, 1024, 1024, 1024, weight_gradient}, 1e-5);
  const Points points = sorted({file}).gemms.begin()->second.second.at("");
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[0].hash, points[1].hash);
}

// What a curve of the same product `own` times and borrowed `lent` times is fitted to.
Points chosen(int own, int lent, Origin lent_origin = Origin::measured) {
  RawFile mine = bench_file(), theirs = bench_file();
  for (int i = 0; i < own; ++i) add(mine, kGemm, 1e-5);
  theirs.borrowed = true;
  theirs.provenance.origin = lent_origin;
  for (int i = 0; i < lent; ++i) add(theirs, kGemm, 2e-5);
  const SortedPoints points = sorted({mine, theirs});
  std::vector<std::string> notes;
  return chosen_points(points.gemms.begin()->first, points.gemms.begin()->second.second, notes);
}

TEST(CurvePoints, EnoughOwnRowsStandAlone) {
  const int enough = static_cast<int>(kEnoughOwnRows);
  EXPECT_EQ(chosen(enough, 3).size(), kEnoughOwnRows);
  EXPECT_EQ(chosen(enough - 1, 3).size(), kEnoughOwnRows + 2);
}

// Each group of GPUs has a level of its own: own rows of two GPUs replace borrowed ones of two and leave those of four.
TEST(CurvePoints, OwnCollectivesStandAloneGroupByGroup) {
  RawFile mine = bench_file(), theirs = bench_file();
  theirs.borrowed = true;
  const auto row = [](std::int64_t ranks, int size) {
    return Collective{CollectiveKind::all_reduce, Bytes{1e6 * (1 + size)}, ranks, ranks, {}};
  };
  const int enough = static_cast<int>(kEnoughOwnRows);
  for (int i = 0; i < enough; ++i) add(mine, row(2, i), 1e-5), add(theirs, row(2, i), 2e-5), add(theirs, row(4, i), 3e-5);
  const SortedPoints points = sorted({mine, theirs});
  std::vector<std::string> notes;
  const Points kept = chosen_points(points.collectives.begin()->first, points.collectives.begin()->second.second, notes);
  EXPECT_EQ(kept.size(), 2 * kEnoughOwnRows);
  for (const Point& point : kept) EXPECT_EQ(point.borrowed, group_of(point) == GpuGroup(4, 4));
}

TEST(CurvePoints, MeasuredRowsStandWithoutPublishedOnes) { EXPECT_EQ(chosen(2, 3, Origin::paper).size(), 2u); }

}  // namespace
}  // namespace trillion::curve_points_test
