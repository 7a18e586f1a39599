// ZB-H1, ZB-H2 and ZB-V: the backward split into input gradient (I) and weight gradient (W).
#include <algorithm>

#include "sim/base/error.h"
#include "sim/workload/schedule_families.h"

namespace trillion {
namespace {

// One stage on one rank, its passes taken in the order of micro-batches.
class Chunk {
 public:
  Chunk(std::vector<Action>& actions, std::int32_t stage, std::int32_t micro_batches)
      : actions_(actions), stage_(stage), micro_batches_(micro_batches) {}

  bool forwards_left() const { return forwards_ < micro_batches_; }
  std::int32_t weights_pending() const { return inputs_ - weights_; }

  void forward() { add(ActionKind::forward, forwards_); }
  void input_gradient() { add(ActionKind::input_gradient, inputs_); }
  void weight_gradient() { add(ActionKind::weight_gradient, weights_); }

 private:
  void add(ActionKind kind, std::int32_t& next) { actions_.push_back({{kind, stage_, next++}, {}}); }

  std::vector<Action>& actions_;
  std::int32_t stage_, micro_batches_;
  std::int32_t forwards_ = 0, inputs_ = 0, weights_ = 0;
};

// `warm_up` forwards, then forward, input gradient, and a weight gradient that stays `delay` micro-batches behind as long as
// forwards are left; afterwards one weight gradient after each input gradient, the rest at the end.
void add_handcrafted(Chunk chunk, std::int32_t micro_batches, std::int32_t warm_up, std::int32_t delay) {
  for (std::int32_t k = 0; k < warm_up && chunk.forwards_left(); ++k) chunk.forward();
  for (std::int32_t k = 0; k < micro_batches; ++k) {
    const bool cool_down = !chunk.forwards_left();
    if (!cool_down) chunk.forward();
    chunk.input_gradient();
    if (cool_down || chunk.weights_pending() > delay) chunk.weight_gradient();
  }
  while (chunk.weights_pending() > 0) chunk.weight_gradient();
}

// Rank r of ZB-V; `down` is stage r, `up` is stage 2p - 1 - r.
void add_zb_v(Chunk down, Chunk up, std::int32_t ranks, std::int32_t rank) {
  // 1. fill: the first micro-batch goes down and comes back up
  for (std::int32_t i = 0; i < 2 * (ranks - rank) - 1; ++i) down.forward();
  for (std::int32_t i = 0; i < rank; ++i) {
    up.forward();
    down.forward();
  }
  for (std::int32_t i = 0; i < ranks - rank; ++i) {
    up.forward();
    up.input_gradient();
    up.weight_gradient();
  }
  // 2. steady: both chunks alternate
  while (up.forwards_left()) {
    if (down.forwards_left()) down.forward();
    down.input_gradient();
    down.weight_gradient();
    up.forward();
    up.input_gradient();
    up.weight_gradient();
  }
  // 3. drain: input gradients first, other ranks wait for them
  for (std::int32_t i = 0; i < rank; ++i) {
    down.input_gradient();
    up.input_gradient();
  }
  for (std::int32_t i = 0; i < ranks - rank; ++i) {
    down.input_gradient();
    down.weight_gradient();
  }
  while (up.weights_pending() > 0) up.weight_gradient();
  while (down.weights_pending() > 0) down.weight_gradient();
}

}  // namespace

PipelineSchedule make_zb_h1(std::int32_t ranks, std::int32_t micro_batches) {
  PipelineSchedule schedule = empty_schedule(ranks, ranks, micro_batches);
  for (std::int32_t rank = 0; rank < ranks; ++rank) {
    Chunk chunk(schedule.ranks[static_cast<std::size_t>(rank)], rank, micro_batches);
    add_handcrafted(chunk, micro_batches, ranks - 1 - rank, rank);
  }
  return schedule;
}

PipelineSchedule make_zb_h2(std::int32_t ranks, std::int32_t micro_batches) {
  PipelineSchedule schedule = empty_schedule(ranks, ranks, micro_batches);
  for (std::int32_t rank = 0; rank < ranks; ++rank) {
    Chunk chunk(schedule.ranks[static_cast<std::size_t>(rank)], rank, micro_batches);
    add_handcrafted(chunk, micro_batches, 2 * (ranks - rank) - 2, 2 * rank);
  }
  return schedule;
}

PipelineSchedule make_zb_v(std::int32_t ranks, std::int32_t micro_batches) {
  PipelineSchedule schedule = empty_schedule(ranks, 2 * ranks, micro_batches);
  for (std::int32_t rank = 0; rank < ranks; ++rank) {
    auto& actions = schedule.ranks[static_cast<std::size_t>(rank)];
    add_zb_v(Chunk(actions, rank, micro_batches), Chunk(actions, 2 * ranks - 1 - rank, micro_batches), ranks, rank);
  }
  return schedule;
}

}  // namespace trillion
