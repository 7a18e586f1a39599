// Why a step takes as long as it does, in parts that add up and as a path that a person can follow.
#pragma once

#include <string>
#include <vector>

#include "sim/estimate/traced_step.h"

namespace trillion {

struct TimePart {
  std::string name;
  Seconds time;
};

// From the model's FLOPs at the chip's dense BF16 peak to the step. All parts but the first are what the step loses, and they add up to
// its time. On the rank that computes longest; kernel times are means over ranks, the difference is `slowest rank beyond the mean`.
//   matrix kernels below the peak   attention, networks, experts, embedding and head, over what their FLOPs need at the peak;
//                                   negative where FP8 GEMMs beat the BF16 peak
//   each exposed communication      as in the report
//   bubble                          the rest: nothing to run
std::vector<TimePart> time_parts(const Scenario& scenario, const StepResult& step);

// A stretch of the critical path (engine/critical_path.h) on one pipeline rank, or a run of short ones that passes from rank to rank.
struct PathLeg {
  std::int64_t first_rank = 0, last_rank = 0;
  std::int64_t visits = 1;                // ranks passed, counted each time
  std::string first_action, last_action;  // in the schedule's grammar; "optimizer" after the last pass
  SimTime start, end;
  Seconds compute;           // kernels; the rest of the leg is communication
  std::string longest_wait;  // the communication that takes most of it; empty where there is none
  Seconds longest_wait_time;
};

struct PathStory {
  std::vector<PathLeg> legs;        // in the order of time; together they cover the step
  std::vector<TimePart> by_kernel;  // what runs on the path, longest first, adds up to the step
};

PathStory critical_path_story(const TracedStep& step);

}  // namespace trillion
