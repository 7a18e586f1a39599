// What follows from a schedule's order alone: can it run, in which order, how much it keeps in memory.
#include <algorithm>
#include <deque>
#include <utility>

#include "sim/base/error.h"
#include "sim/workload/schedule.h"
#include "sim/workload/schedule_index.h"

namespace trillion {
namespace {

std::size_t action_count(const PipelineSchedule& schedule) {
  std::size_t count = 0;
  for (const auto& actions : schedule.ranks) count += actions.size();
  return count;
}

// Runs every rank's list as far as it can go, without times. A rank is looked at again only when a pass that its head may
// wait for has run: linear in the number of passes.
class SymbolicRun {
 public:
  explicit SymbolicRun(const PipelineSchedule& schedule)
      : schedule_(schedule), index_(schedule), next_(schedule.ranks.size(), 0), queued_(schedule.ranks.size(), true) {
    order_.reserve(action_count(schedule));
    for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) waiting_ranks_.push_back(rank);
    while (!waiting_ranks_.empty()) {
      const std::size_t rank = waiting_ranks_.front();
      waiting_ranks_.pop_front();
      queued_[rank] = false;
      run_rank(rank);
    }
  }

  std::vector<ScheduledAction> order() && { return std::move(order_); }
  const PassIndex& index() const { return index_; }
  // The first action of a rank that cannot run; the list's size when all have run.
  std::size_t next(std::size_t rank) const { return next_[rank]; }

  bool has_run(const Pass& pass) const {
    const PassPlace place = index_.find(pass);
    return place.exists() && static_cast<std::size_t>(place.position) < next_[static_cast<std::size_t>(place.rank)];
  }

 private:
  bool ready(const Pass& pass) const {
    const PassDependencies dependencies = index_.dependencies(pass);
    return std::all_of(dependencies.begin(), dependencies.end(), [&](const Pass& before) { return has_run(before); });
  }

  void run_rank(std::size_t rank) {
    const auto& actions = schedule_.ranks[rank];
    while (next_[rank] < actions.size()) {
      const Action& action = actions[next_[rank]];
      if (!ready(action.first) || (action.second && !ready(*action.second))) return;
      order_.push_back({static_cast<std::int32_t>(rank), static_cast<std::int32_t>(next_[rank])});
      ++next_[rank];
      wake_successors(action.first, rank);
      if (action.second) wake_successors(*action.second, rank);
    }
  }

  // Wakes the ranks whose heads may wait for `pass`: the neighbouring stage's, and the same stage's next pass where a
  // hand-written schedule places that on another rank.
  void wake_successors(const Pass& pass, std::size_t running) {
    if (pass.kind == ActionKind::weight_gradient) return;
    const bool forward = pass.kind == ActionKind::forward;
    const std::int32_t neighbour = forward ? pass.stage + 1 : pass.stage - 1;
    if (neighbour >= 0 && neighbour < schedule_.stages) wake({pass.kind, neighbour, pass.micro_batch}, running);
    wake({forward ? ActionKind::backward : ActionKind::weight_gradient, pass.stage, pass.micro_batch}, running);
  }

  void wake(const Pass& pass, std::size_t running) {
    const PassPlace place = index_.find(pass);
    if (!place.exists()) return;
    const auto rank = static_cast<std::size_t>(place.rank);
    if (rank == running || queued_[rank]) return;
    queued_[rank] = true;
    waiting_ranks_.push_back(rank);
  }

  const PipelineSchedule& schedule_;
  PassIndex index_;
  std::vector<ScheduledAction> order_;
  std::vector<std::size_t> next_;
  std::vector<bool> queued_;
  std::deque<std::size_t> waiting_ranks_;
};

// `pass` as its place in the schedule writes it: a backward may be a whole one or an input gradient.
Pass as_scheduled(const PipelineSchedule& schedule, const Pass& pass, const PassPlace& place) {
  const Action& action = schedule.ranks[static_cast<std::size_t>(place.rank)][static_cast<std::size_t>(place.position)];
  if (!action.second) return action.first;
  return pass.kind == ActionKind::forward ? action.first : *action.second;
}

// "1B0 (rank 1, position 5)" or "1B0 (no rank runs it)"
std::string where_text(const PipelineSchedule& schedule, const Pass& pass, const PassPlace& place) {
  if (!place.exists()) return to_text(Action{pass, {}}) + " (no rank runs it)";
  const Action scheduled{as_scheduled(schedule, pass, place), {}};
  return to_text(scheduled) + " (rank " + std::to_string(place.rank) + ", position " + std::to_string(place.position) + ")";
}

std::string blocked_text(const SymbolicRun& run, const PipelineSchedule& schedule, std::size_t rank) {
  const std::size_t position = run.next(rank);
  const Action& head = schedule.ranks[rank][position];
  std::string line = "rank " + std::to_string(rank) + " stops at " + to_text(head) + " (position " + std::to_string(position) + ")";
  const char* separator = ", which waits for ";
  const auto add_missing = [&](const Pass& pass) {
    for (const Pass& before : run.index().dependencies(pass)) {
      if (run.has_run(before)) continue;
      line += separator + where_text(schedule, before, run.index().find(before));
      separator = " and ";
    }
  };
  add_missing(head.first);
  if (head.second) add_missing(*head.second);
  return line;
}

}  // namespace

std::optional<std::string> find_deadlock(const PipelineSchedule& schedule) {
  const SymbolicRun run(schedule);
  std::string text;
  for (std::size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
    if (run.next(rank) == schedule.ranks[rank].size()) continue;
    if (!text.empty()) text += '\n';
    text += blocked_text(run, schedule, rank);
  }
  if (text.empty()) return std::nullopt;
  return text;
}

std::vector<ScheduledAction> execution_order(const PipelineSchedule& schedule) {
  std::vector<ScheduledAction> order = SymbolicRun(schedule).order();
  CHECK(order.size() == action_count(schedule), "the schedule deadlocks");
  return order;
}

}  // namespace trillion
