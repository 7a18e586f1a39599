// DualPipe and DualPipeV: the eight steps of deepseek-ai/DualPipe@3da1bbe (loop counts from there), written once for both.
#include <algorithm>
#include <array>

#include "sim/base/error.h"
#include "sim/workload/schedule_families.h"

namespace trillion {
namespace {

// One of the two chunks that a rank holds; its passes run in the order of its micro-batches.
struct HeldChunk {
  std::int32_t stage = 0;
  std::int32_t first_micro_batch = 0;
  std::int32_t forwards = 0, backwards = 0;  // so many are in the list already

  Pass next_forward() { return {ActionKind::forward, stage, first_micro_batch + forwards++}; }
  Pass next_backward(ActionKind kind) { return {kind, stage, first_micro_batch + backwards++}; }
};

// One rank's list of actions. Phase 0 is the chunk whose micro-batches arrive first.
class ActionOrder {
 public:
  ActionOrder(std::vector<Action>& actions, std::array<HeldChunk, 2> chunks) : actions_(actions), chunks_(chunks) {}

  void forward(int phase) { actions_.push_back({chunk(phase).next_forward(), {}}); }
  void backward(int phase) { actions_.push_back({chunk(phase).next_backward(ActionKind::backward), {}}); }

  // Input gradient now; its weight gradient joins a queue that both phases share.
  void input_gradient(int phase) {
    const Pass pass = chunk(phase).next_backward(ActionKind::input_gradient);
    actions_.push_back({pass, {}});
    waiting_.push_back({ActionKind::weight_gradient, pass.stage, pass.micro_batch});
  }

  void weight_gradient() {
    CHECK(next_waiting_ < waiting_.size(), "DualPipe pops a weight gradient that was never queued");
    actions_.push_back({waiting_[next_waiting_++], {}});
  }

  void pair(int forward_phase, int backward_phase) {
    const Pass forward_pass = chunk(forward_phase).next_forward();
    actions_.push_back({forward_pass, chunk(backward_phase).next_backward(ActionKind::backward)});
  }

 private:
  HeldChunk& chunk(int phase) { return chunks_[static_cast<std::size_t>(phase)]; }

  std::vector<Action>& actions_;
  std::array<HeldChunk, 2> chunks_;
  std::vector<Pass> waiting_;
  std::size_t next_waiting_ = 0;
};

// Where a rank stands: `depth` ranks lie between it and the entry of its phase-0 micro-batches, of `width` on that way.
// DualPipe: width p / 2, depth min(r, p - 1 - r), each phase has half of the micro-batches. DualPipeV: p, r, all of them.
struct Position {
  std::int32_t width = 1;
  std::int32_t depth = 0;
  std::int32_t micro_batches = 0;  // of one phase
  bool innermost() const { return depth == width - 1; }
};

void add_steps(ActionOrder order, const Position& at) {
  const std::int32_t to_innermost = at.width - at.depth - 1;
  // 1. nF0
  for (std::int32_t i = 0; i < 2 * to_innermost; ++i) order.forward(0);
  // 2. nF0F1
  for (std::int32_t i = 0; i < at.depth + 1; ++i) {
    order.forward(0);
    order.forward(1);
  }
  // 3. nB1W1F1, the backward split
  for (std::int32_t i = 0; i < to_innermost; ++i) {
    order.input_gradient(1);
    order.weight_gradient();
    order.forward(1);
  }
  // 4. nF0B1F1B0, the main step: overlapped pairs. The innermost rank's first two chunks feed each other: not a pair.
  for (std::int32_t i = 0; i < at.micro_batches - 2 * at.width + at.depth + 1; ++i) {
    if (i == 0 && at.innermost()) {
      order.forward(0);
      order.backward(1);
    } else {
      order.pair(0, 1);
    }
    order.pair(1, 0);
  }
  // 5. nB1F1B0
  for (std::int32_t i = 0; i < to_innermost; ++i) {
    order.backward(1);
    order.pair(1, 0);
  }
  // 6. nB1B0; from the middle on, weight gradients are put off
  const std::int32_t drains = at.depth + 1;
  for (std::int32_t i = 0; i < 2 * drains; ++i) {
    const bool split = i >= drains / 2 * 2 + (at.depth % 2 == 0 ? 1 : 0);
    const int phase = i % 2 == 0 ? 1 : 0;
    split ? order.input_gradient(phase) : order.backward(phase);
  }
  // 7. nWB0
  for (std::int32_t i = 0; i < to_innermost; ++i) {
    order.weight_gradient();
    order.input_gradient(0);
  }
  // 8. nW
  for (std::int32_t i = 0; i < drains; ++i) order.weight_gradient();
}

}  // namespace

PipelineSchedule make_dualpipe(std::int32_t ranks, std::int32_t micro_batches) {
  PipelineSchedule schedule = empty_schedule(ranks, ranks, micro_batches);
  const std::int32_t half = micro_batches / 2;
  for (std::int32_t rank = 0; rank < ranks; ++rank) {
    const HeldChunk from_first{rank, 0};
    const HeldChunk from_last{ranks - 1 - rank, half};
    const bool near_first = rank < ranks / 2;
    ActionOrder order(schedule.ranks[static_cast<std::size_t>(rank)],
                      near_first ? std::array{from_first, from_last} : std::array{from_last, from_first});
    add_steps(std::move(order), {ranks / 2, std::min(rank, ranks - 1 - rank), half});
  }
  return schedule;
}

PipelineSchedule make_dualpipe_v(std::int32_t ranks, std::int32_t micro_batches) {
  PipelineSchedule schedule = empty_schedule(ranks, 2 * ranks, micro_batches);
  for (std::int32_t rank = 0; rank < ranks; ++rank) {
    ActionOrder order(schedule.ranks[static_cast<std::size_t>(rank)], {HeldChunk{rank, 0}, HeldChunk{2 * ranks - 1 - rank, 0}});
    add_steps(std::move(order), {ranks, rank, micro_batches});
  }
  return schedule;
}

}  // namespace trillion
