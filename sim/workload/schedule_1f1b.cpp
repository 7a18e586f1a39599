// GPipe, 1F1B and interleaved 1F1B: whole backwards, every stage on one rank.
#include <algorithm>

#include "sim/workload/schedule_families.h"

namespace trillion {
namespace {

Action forward(std::int32_t stage, std::int32_t micro_batch) { return {{ActionKind::forward, stage, micro_batch}, {}}; }
Action backward(std::int32_t stage, std::int32_t micro_batch) { return {{ActionKind::backward, stage, micro_batch}, {}}; }

// A rank of interleaved 1F1B counts its passes by a virtual index: groups of p micro-batches go through chunk 0, then the same
// group through chunk 1, and so on (Megatron-LM's get_schedule_table). Backwards take the chunks from the last to the first.
struct VirtualOrder {
  std::int32_t ranks, chunks, rank;

  std::int32_t micro_batch(std::int32_t index) const { return index / (ranks * chunks) * ranks + index % ranks; }
  std::int32_t chunk(std::int32_t index) const { return index % (ranks * chunks) / ranks; }
  std::int32_t stage(std::int32_t chunk_index) const { return chunk_index * ranks + rank; }

  Action nth_forward(std::int32_t index) const { return forward(stage(chunk(index)), micro_batch(index)); }
  Action nth_backward(std::int32_t index) const { return backward(stage(chunks - 1 - chunk(index)), micro_batch(index)); }
};

}  // namespace

PipelineSchedule make_gpipe(std::int32_t ranks, std::int32_t micro_batches) {
  PipelineSchedule schedule = empty_schedule(ranks, ranks, micro_batches);
  for (std::int32_t rank = 0; rank < ranks; ++rank) {
    auto& actions = schedule.ranks[static_cast<std::size_t>(rank)];
    for (std::int32_t k = 0; k < micro_batches; ++k) actions.push_back(forward(rank, k));
    for (std::int32_t k = 0; k < micro_batches; ++k) actions.push_back(backward(rank, k));
  }
  return schedule;
}

PipelineSchedule make_1f1b(std::int32_t ranks, std::int32_t micro_batches) {
  PipelineSchedule schedule = empty_schedule(ranks, ranks, micro_batches);
  for (std::int32_t rank = 0; rank < ranks; ++rank) {
    auto& actions = schedule.ranks[static_cast<std::size_t>(rank)];
    const std::int32_t warm_up = std::min(ranks - 1 - rank, micro_batches);
    for (std::int32_t k = 0; k < warm_up; ++k) actions.push_back(forward(rank, k));
    for (std::int32_t k = 0; k < micro_batches; ++k) {
      if (warm_up + k < micro_batches) actions.push_back(forward(rank, warm_up + k));
      actions.push_back(backward(rank, k));
    }
  }
  return schedule;
}

PipelineSchedule make_interleaved_1f1b(std::int32_t ranks, std::int32_t micro_batches, std::int32_t chunks) {
  PipelineSchedule schedule = empty_schedule(ranks, ranks * chunks, micro_batches);
  const std::int32_t passes = micro_batches * chunks;
  for (std::int32_t rank = 0; rank < ranks; ++rank) {
    auto& actions = schedule.ranks[static_cast<std::size_t>(rank)];
    const VirtualOrder order{ranks, chunks, rank};
    const std::int32_t warm_up = std::min(2 * (ranks - 1 - rank) + (chunks - 1) * ranks, passes);
    for (std::int32_t i = 0; i < warm_up; ++i) actions.push_back(order.nth_forward(i));
    for (std::int32_t i = 0; i < passes; ++i) {
      if (warm_up + i < passes) actions.push_back(order.nth_forward(warm_up + i));
      actions.push_back(order.nth_backward(i));
    }
  }
  return schedule;
}

}  // namespace trillion
