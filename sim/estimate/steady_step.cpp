#include "sim/estimate/steady_step.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace trillion {

namespace {

constexpr int kRounds = 8;

// How far each host is ahead of its device when the step ends; nothing where no device waited for its host at all.
std::vector<SimTime> leads_at_end(const SteadyStep& step, const std::vector<SimTime>& at_start) {
  std::vector<SimTime> leads;
  for (std::size_t gpu = 0; gpu < step.lowered.streams.size(); ++gpu) {
    SimTime last;
    bool issued = false, waited = false;
    for (const TaskId t : step.lowered.graph.tasks_of(step.lowered.streams[gpu][static_cast<std::size_t>(Lane::host)])) {
      last = step.trace.end[t.value];
      issued = true;
      waited = waited || !step.lowered.graph.dependencies(t).empty();
    }
    SimTime lead = issued ? step.trace.makespan - last : at_start[gpu];
    // A host that never waits and has gained on its device since the step before gains in every step: in the end it is ahead of all.
    const bool gains = at_start[gpu] > SimTime{} && lead > at_start[gpu];
    if (issued && !waited && gains) lead = step.trace.makespan + step.trace.makespan;
    leads.push_back(lead);
  }
  return leads;
}

}  // namespace

SteadyStep steady_step(const LoweringInput& input, Detail detail) {
  const auto once = [detail](const LoweringInput& in) {
    SteadyStep step{lower(in, detail), {}};
    step.trace = run(step.lowered.graph);
    return step;
  };
  SteadyStep step = once(input);
  const bool host_issued = std::any_of(step.lowered.streams.begin(), step.lowered.streams.end(), [&](const auto& lanes) {
    return step.lowered.graph.first_of(lanes[static_cast<std::size_t>(Lane::host)]).valid();
  });
  if (!host_issued) return step;
  LoweringInput in = input;
  in.host_lead.resize(step.lowered.streams.size());
  for (int round = 0; round < kRounds; ++round) {
    in.host_lead = leads_at_end(step, in.host_lead);
    SteadyStep next = once(in);
    const double change = std::abs(next.trace.makespan.seconds() / step.trace.makespan.seconds() - 1);
    step = std::move(next);
    if (change < 1e-5) break;
  }
  return step;
}

}  // namespace trillion
