#include "sim/workload/chunk_profile.h"

#include <algorithm>
#include <string_view>

#include "sim/base/error.h"
#include "sim/engine/engine.h"

namespace trillion {

namespace {

void widen(ChunkProfile::Stretch& stretch, double start, double end) {
  if (!stretch.any()) stretch = {start, end};
  stretch = {std::min(stretch.first, start), std::max(stretch.end, end)};
}

// Seconds after its first kernel, in place of after what it waits for.
void from_first_kernel(ChunkProfile& p) {
  const double first = p.compute.first;
  for (ChunkProfile::Stretch* s : {&p.compute, &p.communication, &p.forward, &p.backward, &p.reduction}) {
    if (s->any()) *s = {s->first - first, s->end - first};
  }
}

// The lanes are a rank's own, with consecutive stream numbers.
Lane lane_of(const LoweredStep& step, std::int32_t gpu, TaskId task) {
  const auto& lanes = step.streams[static_cast<std::size_t>(gpu)];
  return static_cast<Lane>(step.graph.stream_of(task).value - lanes.front().value);
}

}  // namespace

std::vector<ChunkProfile> chunk_profiles(const LoweringInput& input, const std::vector<Action>& actions) {
  CHECK(input.scenario.plan.sharding != Sharding::zero_3 && input.scenario.plan.offload.empty());
  PipelineSchedule schedule{static_cast<std::int32_t>(input.cut.stages.size()), static_cast<std::int32_t>(2 * actions.size()), {}};
  for (std::size_t i = 0; i < actions.size(); ++i) {
    Action action = actions[i];
    action.first.micro_batch = static_cast<std::int32_t>(2 * i);
    if (action.second) action.second->micro_batch = static_cast<std::int32_t>(2 * i + 1);
    schedule.ranks.push_back({action});
  }
  Scenario s = input.scenario;
  s.extent = Extent::overlapped_pair;  // actions alone
  const LoweringInput in{s,  input.mesh,   schedule,     input.cut,    input.load, input.timing, input.clock_mhz,
                         {}, input.beside, input.copies, input.blocks, true};
  const LoweredStep step = lower(in, Detail::kernels);
  const Trace trace = run(step.graph);
  const auto start = [&](TaskId t) { return trace.start[t.value].seconds().value(); };
  const auto end = [&](TaskId t) { return trace.end[t.value].seconds().value(); };

  std::vector<ChunkProfile> profiles(actions.size());
  for (const ActionSpan& span : step.spans) {
    ChunkProfile& p = profiles[static_cast<std::size_t>(span.gpu)];
    for (TaskId t = span.first; t.value < span.end.value; ++t.value) {
      const Lane lane = lane_of(step, span.gpu, t);
      if (lane == Lane::gather) continue;
      widen(lane == Lane::compute ? p.compute : lane == Lane::reduce ? p.reduction : p.communication, start(t), end(t));
    }
  }
  for (const Section& section : step.sections) {
    const std::string_view name = section.name;
    const bool forward = name.ends_with("(F)");
    if (!forward && !name.ends_with("(B)")) continue;
    ChunkProfile& p = profiles[static_cast<std::size_t>(section.gpu)];
    for (TaskId t = section.first; t.value < section.end.value; ++t.value) widen(forward ? p.forward : p.backward, start(t), end(t));
  }
  for (std::size_t i = 0; i < profiles.size(); ++i) {
    if (!input.beside.empty() && input.beside[i].gathers) from_first_kernel(profiles[i]);
  }
  return profiles;
}

}  // namespace trillion
