// Who may still be chosen: layouts whose times are not known yet, by what they cannot undercut, against those whose times are.
//
// A search answers more than "which is best": the first `keep`, the best of each size and of each value of each axis, and the front of
// GPU-hours, days and memory. A layout has a chance if its bound leaves it a place in one of these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/planner/score.h"

namespace trillion {

// What the front weighs.
struct Corner {
  double gpu_seconds = 0, seconds = 0;
  Bytes peak;
  bool no_worse_than(const Corner& o) const { return gpu_seconds <= o.gpu_seconds && seconds <= o.seconds && peak <= o.peak; }
};

// Corners that no other is no worse than.
class Front {
 public:
  bool beats(const Corner& corner) const;  // someone on it is no worse
  void add(const Corner& corner);
  std::size_t size() const { return corners_.size(); }

 private:
  std::vector<Corner> corners_;
};

// A layout that fits.
struct Chance {
  Score least;  // by its bound
  Corner corner;
  std::vector<std::uint32_t> values;  // numbers of its axes' values, and of its size
  // Once its time is known.
  struct Known {
    Score score;
    Corner corner;
  };
  std::optional<Known> known;
};

struct ChanceLimits {
  std::size_t keep;
  double reach;                         // the front ends at so many times the best known score
  std::optional<Score> last_kept = {};  // of the keep-th best that was simulated; empty: of those known
  std::size_t few = 4;                  // so many of each value are asked at once
};

// Indices of those to be asked next, ascending: all that may be among the first `keep`; of each value that its best may still have, and of
// those that may be on the front, the first few, since what they turn out to be takes others' chances away. None: nobody has a chance.
// `values`: how many numbers there are.
// REQUIRES: chances by `least`.
std::vector<std::size_t> open_chances(const std::vector<Chance>& chances, std::size_t values, const ChanceLimits& limits);

}  // namespace trillion
