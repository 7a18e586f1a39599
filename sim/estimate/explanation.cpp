#include "sim/estimate/explanation.h"

#include <algorithm>
#include <map>
#include <utility>

#include "sim/base/error.h"
#include "sim/engine/critical_path.h"

namespace trillion {

std::vector<TimePart> time_parts(const Scenario& s, const StepResult& r) {
  const double gpus = s.extent == Extent::step ? static_cast<double>(s.cluster.gpus()) : 1.0;
  const Seconds ideal{r.model_flops_causal.value() / gpus / s.cluster.gpu.peak_bf16.value()};
  const ComputeSeconds& c = r.compute;
  const Seconds matrix = c.attention + c.dense_ffn + c.experts + c.embedding_and_head;
  const ExposedSeconds& e = r.exposed;
  const Seconds exposed = e.expert_all_to_all + e.pipeline_p2p + e.tensor_parallel + e.context_parallel + e.gradient_reduce +
                          e.parameter_gather + e.host_offload;
  // Phases other than the bubble are the rank's kernels and what it waits for.
  const Seconds idle = r.phases.bubble;
  const Seconds busy = r.time - idle - exposed;
  std::vector<TimePart> parts = {{"model FLOPs at the BF16 peak", ideal},
                                 {"matrix kernels below the peak", matrix - ideal},
                                 {"norms and elementwise", c.norm_and_elementwise},
                                 {"casts and quantisation", c.cast_and_quantize},
                                 {"gate", c.gate},
                                 {"recomputation", c.recompute},
                                 {"optimizer", c.optimizer},
                                 {"busiest expert rank beyond the mean", e.straggler},
                                 {"slowest rank beyond the mean", busy - c.total() - e.straggler},
                                 {"exposed expert all-to-all", e.expert_all_to_all},
                                 {"exposed tensor-parallel", e.tensor_parallel},
                                 {"exposed context-parallel", e.context_parallel},
                                 {"exposed pipeline transfers", e.pipeline_p2p},
                                 {"exposed gradient reduction", e.gradient_reduce},
                                 {"exposed parameter gather", e.parameter_gather},
                                 {"exposed host offload", e.host_offload},
                                 {"pipeline bubble", idle}};
  return parts;
}

namespace {

// The action that a task belongs to.
class ActionNames {
 public:
  explicit ActionNames(const TracedStep& step) : step_(step) {}

  std::string of(TaskId task) const {
    if (task >= step_.lowered.step_end) return "optimizer";
    const auto& spans = step_.lowered.spans;
    const auto after = std::upper_bound(spans.begin(), spans.end(), task, [](TaskId t, const ActionSpan& s) { return t < s.first; });
    CHECK(after != spans.begin());
    const ActionSpan& span = *std::prev(after);
    const auto rank = static_cast<std::size_t>(span.gpu / step_.lowered.replicas);
    return to_text(step_.prepared.schedule.ranks[rank][static_cast<std::size_t>(span.position)]);
  }

 private:
  const TracedStep& step_;
};

struct Stay {
  std::int64_t rank = 0, visits = 1;
  std::int64_t last_rank = 0;
  TaskId first, last;
  SimTime start, end;
  Seconds compute;
  std::map<std::string, Seconds> waits;
};

void append(Stay& to, const Stay& next) {
  to.last_rank = next.last_rank;
  to.visits += next.visits;
  to.last = next.last;
  to.end = next.end;
  to.compute += next.compute;
  for (const auto& [label, time] : next.waits) to.waits[label] += time;
}

// Consecutive steps of one rank.
std::vector<Stay> stays_of(const TracedStep& step, const std::vector<CriticalStep>& path) {
  std::vector<Stay> stays;
  for (const CriticalStep& at : path) {
    const std::int64_t gpu = step.lowered.graph.stream_of(at.task).value / kLaneCount;
    const TaskKind& kind = step.lowered.graph.kind_of(at.task);
    Stay stay;
    stay.rank = stay.last_rank = gpu / step.lowered.replicas;
    stay.first = stay.last = at.task;
    stay.start = at.start;
    stay.end = at.end;
    const Seconds time = (at.end - at.start).seconds();
    if (is_communication(static_cast<Category>(kind.tag))) {
      stay.waits[kind.label] = time;
    } else {
      stay.compute = time;
    }
    if (!stays.empty() && stays.back().rank == stay.rank) {
      stay.visits = 0;
      append(stays.back(), stay);
    } else {
      stays.push_back(std::move(stay));
    }
  }
  return stays;
}

}  // namespace

PathStory critical_path_story(const TracedStep& step) {
  constexpr double kShort = 0.03;  // of the step: a stay that is shorter is told together with its neighbours
  const std::vector<CriticalStep> path = critical_path(step.lowered.graph, step.trace);
  std::map<std::string, Seconds> by_kernel;
  for (const CriticalStep& at : path) by_kernel[step.lowered.graph.kind_of(at.task).label] += (at.end - at.start).seconds();
  const Seconds whole = step.trace.makespan.seconds();
  const auto is_short = [&](const Stay& s) { return (s.end - s.start).seconds() < whole * kShort; };

  std::vector<Stay> merged;
  bool last_short = false;
  for (Stay& stay : stays_of(step, path)) {
    const bool now_short = is_short(stay);
    if (!merged.empty() && last_short && now_short) {
      append(merged.back(), stay);
    } else {
      merged.push_back(std::move(stay));
    }
    last_short = now_short;
  }

  PathStory story;
  const ActionNames names(step);
  for (const Stay& s : merged) {
    PathLeg leg{s.rank, s.last_rank, s.visits, names.of(s.first), names.of(s.last), s.start, s.end, s.compute, {}, {}};
    for (const auto& [label, time] : s.waits) {
      if (time > leg.longest_wait_time) {
        leg.longest_wait = label;
        leg.longest_wait_time = time;
      }
    }
    story.legs.push_back(std::move(leg));
  }
  for (const auto& [label, time] : by_kernel) story.by_kernel.push_back({label, time});
  std::stable_sort(story.by_kernel.begin(), story.by_kernel.end(), [](const TimePart& a, const TimePart& b) { return a.time > b.time; });
  return story;
}

}  // namespace trillion
