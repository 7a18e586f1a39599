// Where each pass of a schedule runs, and what a pass waits for: one table, built once, read in constant time.
//
//   forward          of stage s > 0 waits for the forward of stage s - 1
//   input gradient   (or whole backward) waits for its own forward and, below the last stage, for that of stage s + 1
//   weight gradient  waits for its input gradient
// all of the same micro-batch.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "sim/workload/schedule.h"

namespace trillion {

// A place in a schedule: schedule.ranks[rank][position].
struct PassPlace {
  std::int32_t rank = -1;
  std::int32_t position = -1;
  bool exists() const { return rank >= 0; }
  friend bool operator==(const PassPlace&, const PassPlace&) = default;
};

// At most two passes; `count` are set. A backward here means "the backward or, where it is split, the input gradient".
struct PassDependencies {
  std::array<Pass, 2> passes;
  int count = 0;
  const Pass* begin() const { return passes.data(); }
  const Pass* end() const { return passes.data() + count; }
};

class PassIndex {
 public:
  // Keeps nothing of the schedule. REQUIRES: stages and micro-batches in range, no pass twice (parse_schedule checks both).
  explicit PassIndex(const PipelineSchedule& schedule);

  // Where the pass runs; backward and input gradient find each other. !exists() when no rank runs it.
  PassPlace find(const Pass& pass) const { return places_[slot(pass)]; }
  // The rank that runs this stage for this micro-batch: PipelineSchedule::rank_of in constant time.
  std::int32_t rank_of(std::int32_t stage, std::int32_t micro_batch) const;
  // What must have run before `pass` can.
  PassDependencies dependencies(const Pass& pass) const;

 private:
  std::size_t slot(const Pass& pass) const;

  std::int32_t stages_ = 0, micro_batches_ = 0;
  std::vector<PassPlace> places_;  // [forward, backward, weight gradient][stage][micro-batch]
};

}  // namespace trillion
