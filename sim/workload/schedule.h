// Who computes what, in which order: per pipeline rank a list of actions, in the grammar of PyTorch's
// torch.distributed.pipelining schedules.
//
//   2F0        stage 2, forward of micro-batch 0
//   2B0        its whole backward (input and weight gradients)
//   2I0, 2W0   input gradient alone, weight gradient alone
//   (1F3;2B0)  a forward and a backward executed as one overlapped pair (DualPipe)
//
// One line per pipeline rank, actions separated by commas; PyTorch's CSV dumps read as they are: an empty cell is idle time and
// means nothing, since a rank executes its list in order and waits by itself; blank lines are skipped; a pair may carry
// PyTorch's suffix "OVERLAP_F_B". Text and value are inverses: parse_schedule(to_text(s)) == s.
//
// DualPipe: p ranks, p stages, M micro-batches in all. 0 .. M/2 - 1 enter at rank 0 and find stage s on rank s; M/2 .. M - 1 enter
// at rank p - 1 and find stage s on rank p - 1 - s. So a rank holds two stages and (stage, micro-batch) names one rank.
//
// Sources: ../shared facts, schedules.md: Megatron-LM schedules.py (1F1B, interleaved), arXiv:2401.10241 (ZB-H1, ZB-H2),
// arXiv:2405.15362 (ZB-V), deepseek-ai/DualPipe@3da1bbe (DualPipe, DualPipeV).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/spec/infeasible.h"
#include "sim/spec/plan.h"

namespace trillion {

enum class ActionKind : std::uint8_t { forward, backward, input_gradient, weight_gradient };

// One chunk's pass: one stage of the model over one micro-batch.
struct Pass {
  ActionKind kind = ActionKind::forward;
  std::int32_t stage = 0;
  std::int32_t micro_batch = 0;
  friend bool operator==(const Pass&, const Pass&) = default;
};

struct Action {
  Pass first;                  // the forward one, if overlapped
  std::optional<Pass> second;  // set: an overlapped pair
  friend bool operator==(const Action&, const Action&) = default;
};

struct PipelineSchedule {
  std::int32_t stages = 1;
  std::int32_t micro_batches = 1;
  std::vector<std::vector<Action>> ranks;  // [pipeline rank][position]
  friend bool operator==(const PipelineSchedule&, const PipelineSchedule&) = default;

  // The rank that runs `stage` for `micro_batch`. With DualPipe the two directions put one stage on two ranks.
  // Searches the lists; for many questions build a PassIndex (workload/schedule_index.h).
  std::int32_t rank_of(std::int32_t stage, std::int32_t micro_batch) const;
  // Stages whose parameters a rank holds, ascending.
  std::vector<std::int32_t> stages_of(std::int32_t rank) const;
};

// Pipeline ranks that hold the same stage: 2 with DualPipe.
std::int64_t copies_of_a_stage(const PipelineSchedule& schedule);

// Why `kind` cannot run with these numbers, and which numbers would do; empty when it can.
std::optional<std::string> why_not(ScheduleKind kind, std::int64_t ranks, std::int64_t micro_batches, std::int64_t virtual_stages);

// REQUIRES: !why_not(...).
PipelineSchedule make_schedule(ScheduleKind kind, std::int64_t ranks, std::int64_t micro_batches, std::int64_t virtual_stages);

// The same for a plan, whose schedule may be a file. A file's text that is none throws InputError; one that deadlocks, or that has other
// numbers of ranks or micro-batches than the plan, is why it cannot run.
std::optional<Infeasible> why_no_schedule(const Plan& plan, std::int64_t micro_batches);
PipelineSchedule schedule_of(const Plan& plan, std::int64_t micro_batches);

std::string to_text(const Action& action);
std::string to_text(const PipelineSchedule& schedule);  // one line per rank, actions separated by commas

// Throws InputError with line and column: unknown words, numbers out of range, a pass twice, a micro-batch that misses a pass (every
// stage needs F and either B or I and W for each), a rank without actions. `file` is what the message names.
PipelineSchedule parse_schedule(std::string_view text, const std::string& file = "schedule");

// Executes the order symbolically. Empty when every action can run; else the head of every blocked rank and what it waits for.
std::optional<std::string> find_deadlock(const PipelineSchedule& schedule);

// An order of all (rank, position) in which every action comes after what it depends on. REQUIRES: !find_deadlock(schedule).
struct ScheduledAction {
  std::int32_t rank = 0;
  std::int32_t position = 0;
};
std::vector<ScheduledAction> execution_order(const PipelineSchedule& schedule);

}  // namespace trillion
