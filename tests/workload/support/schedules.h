// What the tests of schedules share: the idealisation of the papers, and golden texts.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "sim/workload/activation_walk.h"
#include "sim/workload/schedule.h"
#include "sim/workload/schedule_ideal.h"

namespace trillion {

// Every rank's whole share of a micro-batch takes F, I and W; it is divided over the stages of one model copy per rank.
inline IdealTimes ideal_times(const PipelineSchedule& schedule, StageTimes whole_rank) {
  const double share = static_cast<double>(schedule.ranks.size()) / schedule.stages;
  const StageTimes stage{whole_rank.forward * share, whole_rank.input_gradient * share, whole_rank.weight_gradient * share};
  return {std::vector<StageTimes>(static_cast<std::size_t>(schedule.stages), stage), 1};
}

inline IdealRun ideal(const PipelineSchedule& schedule, StageTimes whole_rank = {1, 1, 1}) {
  return ideal_run(schedule, ideal_times(schedule, whole_rank));
}

// Longest idle time of a rank between its own first and last action.
inline double largest_idle(const IdealRun& run) {
  double largest = 0;
  for (const IdealRank& rank : run.ranks) largest = std::max(largest, rank.idle_within());
  return largest;
}

// Makespan beyond the work of one rank.
inline double bubble(const PipelineSchedule& schedule, StageTimes t = {1, 1, 1}) {
  return ideal(schedule, t).makespan - schedule.micro_batches * (t.forward + t.input_gradient + t.weight_gradient);
}

// Peak number of micro-batches whose forward of a stage has run on `rank` and whose backward (weight gradient, where split) has not,
// over the rank's own order: of each stage of its, and of all at once.
struct InFlight {
  std::vector<std::int64_t> peak_of_stage;  // parallel to stages_of(rank)
  std::int64_t peak_total = 0;
};
inline InFlight activations_in_flight(const PipelineSchedule& schedule, std::int32_t rank) {
  const StageHold one{.saved = Bytes{1}, .beside = {}, .split = {}, .gradients = {}};
  const auto peak = [&](const std::vector<StageHold>& holds) {
    return static_cast<std::int64_t>(fullest_moment(schedule.ranks.at(static_cast<std::size_t>(rank)), holds).saved.value());
  };
  InFlight found;
  for (const std::int32_t stage : schedule.stages_of(rank)) {
    std::vector<StageHold> alone(static_cast<std::size_t>(schedule.stages));
    alone[static_cast<std::size_t>(stage)] = one;
    found.peak_of_stage.push_back(peak(alone));
  }
  found.peak_total = peak(std::vector<StageHold>(static_cast<std::size_t>(schedule.stages), one));
  return found;
}

// Peak activations per rank in micro-batches of a whole rank's share.
inline std::vector<double> in_flight(const PipelineSchedule& schedule) {
  std::vector<double> found;
  const double share = static_cast<double>(schedule.ranks.size()) / schedule.stages;
  for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    found.push_back(static_cast<double>(activations_in_flight(schedule, static_cast<std::int32_t>(rank)).peak_total) * share);
  }
  return found;
}

inline std::string golden_schedule(const std::string& name) {
  const std::string path = std::string(TRILLION_SOURCE_DIR) + "/tests/golden/schedules/" + name + ".txt";
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace trillion
