#include "sim/workload/schedule.h"

#include <algorithm>

#include "sim/base/error.h"
#include "sim/base/rounding.h"
#include "sim/workload/schedule_families.h"

namespace trillion {
namespace {

// A bound on text that a user writes, far above any machine: products of two of them stay far inside 64 bits.
constexpr std::int64_t kMostRanksOrMicroBatches = 1'000'000;

std::string text(std::int64_t number) { return std::to_string(number); }

std::string schedule_name(ScheduleKind kind) { return std::string(kScheduleNames[static_cast<std::size_t>(kind)]); }

// "micro-batches: 32 or more; there are 30"
std::string needs(ScheduleKind kind, const std::string& what, const std::string& found) {
  return schedule_name(kind) + " needs " + what + "; " + found;
}

std::string there_are(std::int64_t micro_batches) { return micro_batches == 1 ? "there is 1" : "there are " + text(micro_batches); }

// The multiples of `divisor` around `number`, as words: "8 or 16"; never less than `least`.
std::string multiples_around(std::int64_t number, std::int64_t divisor, std::int64_t least) {
  const std::int64_t below = number / divisor * divisor;
  const std::int64_t above = std::max(below + divisor, divided_up(least, divisor) * divisor);
  return below >= std::max<std::int64_t>(least, 1) ? text(below) + " or " + text(above) : text(above);
}

std::optional<std::string> why_not_enough(ScheduleKind kind, std::int64_t micro_batches, std::int64_t least) {
  if (micro_batches >= least) return std::nullopt;
  return needs(kind, "at least " + text(least) + " micro-batches per step with this pipeline_parallel", there_are(micro_batches));
}

std::optional<std::string> why_not_chunks(ScheduleKind kind, std::int64_t chunks) {
  const bool v_shaped = kind == ScheduleKind::zb_v || kind == ScheduleKind::dualpipe_v;
  if (chunks == 1 || (v_shaped && chunks == 2)) return std::nullopt;
  const std::string accepted = v_shaped ? "virtual_pipeline_stages of 2 (or none: it always has two)" : "virtual_pipeline_stages of 1";
  return needs(kind, accepted, text(chunks) + " was asked for; interleaved-1f1b takes any number from 2");
}

std::optional<std::string> why_not_interleaved(std::int64_t ranks, std::int64_t micro_batches, std::int64_t chunks) {
  constexpr ScheduleKind kKind = ScheduleKind::interleaved_1f1b;
  if (chunks < 2) return needs(kKind, "virtual_pipeline_stages of 2 or more", text(chunks) + " was asked for; 1f1b is the schedule of 1");
  if (micro_batches % ranks == 0) return std::nullopt;
  return needs(kKind, "micro-batches per step in multiples of pipeline_parallel " + text(ranks),
               there_are(micro_batches) + ", " + multiples_around(micro_batches, ranks, ranks) + " would do");
}

std::optional<std::string> why_not_dualpipe(std::int64_t ranks, std::int64_t micro_batches) {
  constexpr ScheduleKind kKind = ScheduleKind::dualpipe;
  if (ranks % 2 != 0) {
    return needs(kKind, "an even pipeline_parallel",
                 "it is " + text(ranks) + ", " + multiples_around(ranks, 2, 2) + " would do; dualpipe-v takes odd ones");
  }
  if (micro_batches >= 2 * ranks && micro_batches % 2 == 0) return std::nullopt;
  return needs(kKind, "an even number of micro-batches per step, at least 2 x pipeline_parallel = " + text(2 * ranks),
               there_are(micro_batches) + ", " + multiples_around(micro_batches, 2, 2 * ranks) + " would do");
}

}  // namespace

std::int32_t PipelineSchedule::rank_of(std::int32_t stage, std::int32_t micro_batch) const {
  const auto runs = [&](const Pass& pass) { return pass.stage == stage && pass.micro_batch == micro_batch; };
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    for (const Action& action : ranks[rank]) {
      if (runs(action.first) || (action.second && runs(*action.second))) return static_cast<std::int32_t>(rank);
    }
  }
  CHECK(false, "no rank runs this stage for this micro-batch");
}

std::vector<std::int32_t> PipelineSchedule::stages_of(std::int32_t rank) const {
  std::vector<bool> held(static_cast<std::size_t>(stages), false);
  for (const Action& action : ranks.at(static_cast<std::size_t>(rank))) {
    held.at(static_cast<std::size_t>(action.first.stage)) = true;
    if (action.second) held.at(static_cast<std::size_t>(action.second->stage)) = true;
  }
  std::vector<std::int32_t> found;
  for (std::int32_t stage = 0; stage < stages; ++stage) {
    if (held[static_cast<std::size_t>(stage)]) found.push_back(stage);
  }
  return found;
}

std::int64_t copies_of_a_stage(const PipelineSchedule& schedule) {
  std::int64_t copies = 0;
  for (std::size_t r = 0; r < schedule.ranks.size(); ++r) {
    const auto held = schedule.stages_of(static_cast<std::int32_t>(r));
    copies += std::count(held.begin(), held.end(), 0);
  }
  return copies;
}

std::optional<std::string> why_not(ScheduleKind kind, std::int64_t ranks, std::int64_t micro_batches, std::int64_t virtual_stages) {
  for (const auto& [name, value] : {std::pair{"pipeline_parallel", ranks}, std::pair{"micro-batches per step", micro_batches},
                                    std::pair{"virtual_pipeline_stages", virtual_stages}}) {
    if (value >= 1 && value <= kMostRanksOrMicroBatches) continue;
    return needs(kind, std::string(name) + " from 1 to " + text(kMostRanksOrMicroBatches), "it is " + text(value));
  }
  if (kind == ScheduleKind::interleaved_1f1b) return why_not_interleaved(ranks, micro_batches, virtual_stages);
  if (auto why = why_not_chunks(kind, virtual_stages)) return why;
  switch (kind) {
    case ScheduleKind::zb_h2: return why_not_enough(kind, micro_batches, 2 * ranks - 1);
    case ScheduleKind::zb_v:
    case ScheduleKind::dualpipe_v: return why_not_enough(kind, micro_batches, 2 * ranks);
    case ScheduleKind::dualpipe: return why_not_dualpipe(ranks, micro_batches);
    default: return std::nullopt;
  }
}

PipelineSchedule empty_schedule(std::int32_t ranks, std::int32_t stages, std::int32_t micro_batches) {
  PipelineSchedule schedule{stages, micro_batches, std::vector<std::vector<Action>>(static_cast<std::size_t>(ranks))};
  // Three passes a chunk where the backward is split; DualPipe puts two streams of half the micro-batches on each rank.
  const std::size_t most_actions = 3 * static_cast<std::size_t>(micro_batches) * static_cast<std::size_t>(stages / ranks);
  for (auto& actions : schedule.ranks) actions.reserve(most_actions);
  return schedule;
}

PipelineSchedule make_schedule(ScheduleKind kind, std::int64_t ranks, std::int64_t micro_batches, std::int64_t virtual_stages) {
  if (const auto why = why_not(kind, ranks, micro_batches, virtual_stages)) CHECK(false, *why);
  const auto p = static_cast<std::int32_t>(ranks);
  const auto m = static_cast<std::int32_t>(micro_batches);
  switch (kind) {
    case ScheduleKind::gpipe: return make_gpipe(p, m);
    case ScheduleKind::one_f_one_b: return make_1f1b(p, m);
    case ScheduleKind::interleaved_1f1b: return make_interleaved_1f1b(p, m, static_cast<std::int32_t>(virtual_stages));
    case ScheduleKind::zb_h1: return make_zb_h1(p, m);
    case ScheduleKind::zb_h2: return make_zb_h2(p, m);
    case ScheduleKind::zb_v: return make_zb_v(p, m);
    case ScheduleKind::dualpipe: return make_dualpipe(p, m);
    case ScheduleKind::dualpipe_v: return make_dualpipe_v(p, m);
  }
  CHECK(false, "unknown schedule kind");
}

namespace {

// Pipeline ranks that hold each stage; a written schedule may put one on several, but all stages on as many.
std::optional<std::string> why_uneven(const PipelineSchedule& schedule) {
  std::vector<std::int64_t> holders(static_cast<std::size_t>(schedule.stages));
  for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    for (const std::int32_t stage : schedule.stages_of(static_cast<std::int32_t>(rank))) ++holders[static_cast<std::size_t>(stage)];
  }
  for (std::size_t stage = 1; stage < holders.size(); ++stage) {
    if (holders[stage] == holders[0]) continue;
    return "stage 0 is on " + text(holders[0]) + " pipeline ranks and stage " + std::to_string(stage) + " on " + text(holders[stage]);
  }
  return std::nullopt;
}

std::optional<Infeasible> why_file_cannot_run(const Plan& plan, std::int64_t micro_batches) {
  const std::string& file = plan.schedule_file->path;
  const PipelineSchedule schedule = parse_schedule(plan.schedule_file->text, file);
  const auto ranks = static_cast<std::int64_t>(schedule.ranks.size());
  if (ranks != plan.pipeline_parallel) {
    return Infeasible{
        file + " schedules " + text(ranks) + " pipeline ranks, one a line, and plan.pipeline_parallel is " + text(plan.pipeline_parallel),
        {"plan.pipeline_parallel: " + text(ranks) + " would do"}};
  }
  if (schedule.micro_batches != micro_batches) {
    return Infeasible{file + " schedules " + text(schedule.micro_batches) +
                          (schedule.micro_batches == 1 ? " micro-batch; " : " micro-batches; ") + there_are(micro_batches) + " per step",
                      {}};
  }
  if (const auto why = why_uneven(schedule)) return Infeasible{file + ": " + *why, {}};
  if (const auto why = find_deadlock(schedule)) return Infeasible{file + " cannot run: " + *why, {}};
  return std::nullopt;
}

}  // namespace

std::optional<Infeasible> why_no_schedule(const Plan& plan, std::int64_t micro_batches) {
  if (plan.schedule_file) return why_file_cannot_run(plan, micro_batches);
  const auto why = why_not(plan.schedule, plan.pipeline_parallel, micro_batches, plan.virtual_pipeline_stages);
  return why ? std::optional(Infeasible{*why, {}}) : std::nullopt;
}

PipelineSchedule schedule_of(const Plan& plan, std::int64_t micro_batches) {
  if (plan.schedule_file) return parse_schedule(plan.schedule_file->text, plan.schedule_file->path);
  return make_schedule(plan.schedule, plan.pipeline_parallel, micro_batches, plan.virtual_pipeline_stages);
}

}  // namespace trillion
