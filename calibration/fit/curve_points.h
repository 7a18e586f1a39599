// All rows sorted by the curve that they are points of, and which of a curve's points count.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "calibration/fit/points.h"
#include "calibration/fit/raw_file.h"
#include "sim/spec/calibration.h"
#include "sim/spec/curve.h"

namespace trillion {

// Own rows of a curve that need no borrowed ones beside them.
inline constexpr std::size_t kEnoughOwnRows = 6;

using PointsByPath = std::map<std::string, Points>;  // while several library paths compete; "" where a row names none

// By the curve's name. std::map: the order of a profile must not depend on the order of files.
template <class Curve>
using CurvePoints = std::map<std::string, std::pair<Curve, PointsByPath>>;  // the curve: its key alone

struct SortedPoints {
  CurvePoints<GemmCurve> gemms;
  CurvePoints<AttentionCurve> attentions;
  CurvePoints<MemoryCurve> memory_kernels;
  CurvePoints<CollectiveCurve> collectives;
  CurvePoints<ExpertCurve> experts;
};

// The group of GPUs that a collective ran on: ranks, and ranks of a node. Of all other kernels the same.
using GpuGroup = std::pair<std::int64_t, std::int64_t>;
GpuGroup group_of(const Point& point);

SortedPoints sort_points(const std::vector<RawFile>& files, const Chip& chip);

// Of several library paths the fastest, as a stack would choose: a path with less than half of the largest one's points does not
// stand, rows without a path (a trace's, a published figure) join any. Of the path's points the measured ones alone if there are any
// (of collectives: by the number of ranks), and own ones alone if there are enough (of collectives: by the group). `notes` is told where a
// path was chosen.
Points chosen_points(const std::string& curve, const PointsByPath& paths, std::vector<std::string>& notes);

}  // namespace trillion
