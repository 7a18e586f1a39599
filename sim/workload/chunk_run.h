// A schedule with every action as one rigid piece of known length (workload/chunk_profile.h): the order of a step and who waits for
// whom, at a few nanoseconds an action.
//
//   an action starts when   each of its passes has what it waits for (from another rank: a transfer later), and
//                           the rank's compute stream and its communication streams are free when it first uses them
//
// So the communication at the end of one action runs beside the next one's kernels where these do not need it. Exact where nothing inside
// an action gives way; the simulation (workload/lower.h) differs where something does.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/workload/block_times.h"
#include "sim/workload/chunk_profile.h"
#include "sim/workload/schedule.h"

namespace trillion {

// A schedule, made ready to be run often. Micro-batches do not differ, so what an action is made of is one of few.
class ChunkProgram {
 public:
  // REQUIRES: !find_deadlock(schedule).
  explicit ChunkProgram(const PipelineSchedule& schedule);

  // The distinct actions, all with micro-batch 0, and what of data parallelism each has beside it: what run() needs a profile of each.
  const std::vector<Action>& distinct() const { return distinct_; }
  const std::vector<BesideAction>& beside() const { return beside_; }
  std::int32_t stages() const { return stages_; }
  std::int32_t ranks() const { return ranks_; }
  const std::vector<std::vector<std::int32_t>>& stages_of_rank() const { return stages_of_rank_; }

  // When a stage's gradients become complete, on each rank that holds it: the last action that makes some. And until when it is at least
  // busy reducing them.
  struct Span {
    double start = 0, end = 0, reduced = 0;
  };
  struct Run {
    double makespan = 0;
    std::vector<double> rank_end;                 // of compute
    std::vector<std::vector<Span>> last_weights;  // [rank][i of stages_of_rank]
  };
  // A time that no step with these passes undercuts: only what a pass waits for itself counts, and of two passes that overlap, or a
  // backward pass and its weight gradients, each leaves its result as early as it could. A rank's kernels follow each other, and so do its
  // exchanges. [stage] a pass through all its blocks. Convex in the number of micro-batches: going on in a straight line from two
  // numbers of them stays a bound.
  double bound(const std::vector<BlockChains>& stages, double transfer = 0) const;

  // `profiles`: one for each distinct(). `transfer`: seconds from a result until the neighbour has it. `gathered`: [stage] seconds from the
  // step's start until the parameters are there that its first forward pass begins with, or empty.
  Run run(const std::vector<const ChunkProfile*>& profiles, double transfer, const std::vector<double>& gathered = {}) const;

 private:
  struct Instruction {
    std::int32_t forward = -1, backward = -1;  // place of the pass's result: stage x micro-batches + micro-batch
    std::int16_t rank = 0;
    std::int16_t what = 0;             // index into distinct_
    std::int16_t last_of = -1;         // index into stages_of_rank_: the last action with this stage's weights
    std::int16_t first_of_stage = -1;  // the stage whose first forward pass this is, on this rank
  };

  std::int32_t stages_ = 1, micro_batches_ = 1, ranks_ = 1;
  std::vector<Action> distinct_;
  std::vector<BesideAction> beside_;
  std::vector<std::vector<std::int32_t>> stages_of_rank_;
  std::vector<Instruction> instructions_;  // in an order in which everything comes after what it waits for
};

}  // namespace trillion
