// A rank's tensors through the allocator. The algebra:
//   reserved >= allocated; allocated is near what workload/torch_memory.h finds
//   one tensor of each size leaves nothing unused but the rounding; growing tensors leave what went before
//   a further micro-batch and a further step reserve nothing more
#include "sim/workload/torch_allocations.h"

#include <gtest/gtest.h>

#include "sim/workload/linear.h"
#include "tests/support/block_setting.h"

namespace trillion::torch_allocations_test {
namespace {

using namespace testing_support;

constexpr double kMiB = 1 << 20;

Operation writes(double bytes) {
  return memory_operation("kernel", Category::norm_and_elementwise, MemoryKernel::copy, Bytes{bytes}, Bytes{bytes});
}

struct Rank {
  BlockSetting setting{dense_model(1)};
  std::vector<Block> blocks;
  std::vector<Action> actions;

  Rank() { setting.training.optimizer_state = {0, 2, 2, 2}; }
  AllocatorPeaks peaks(bool bucketed = false) {
    BlockContext c = setting.context();
    c.framework = Framework::torch_eager;
    AllocationInput in{.actions = actions, .stages = {{}}, .context = c, .bucketed = bucketed, .workspace = Bytes{}};
    for (const Block& b : blocks) in.stages[0].push_back(&b);
    return allocator_peaks(in);
  }
  void passes(std::int32_t micro_batches) {
    for (std::int32_t m = 0; m < micro_batches; ++m) {
      actions.push_back({{ActionKind::forward, 0, m}, {}});
      actions.push_back({{ActionKind::backward, 0, m}, {}});
    }
  }
};

Block block(double parameters, double saved) {
  Block b;
  b.parameters.dense = parameters;
  b.before_exchange = {writes(saved)};
  b.saved = {{"all", Bytes{saved}}};
  return b;
}

TEST(TorchAllocations, ParametersMomentsAndWhatIsSaved) {
  Rank rank;
  rank.blocks = {block(32 * kMiB, 64 * kMiB)};
  rank.passes(1);
  const AllocatorPeaks peaks = rank.peaks();
  EXPECT_EQ(peaks.allocated.value(), 3 * 64 * kMiB + 64 * kMiB) << "parameters, two moments, what is saved";
  EXPECT_EQ(peaks.unused().value(), 0);
}

TEST(TorchAllocations, FurtherMicroBatchesFindTheirMemoryFree) {
  Rank one, three;
  one.blocks = three.blocks = {block(32 * kMiB, 64 * kMiB), block(32 * kMiB, 48 * kMiB)};
  one.passes(1);
  three.passes(3);
  EXPECT_EQ(one.peaks().reserved.value(), three.peaks().reserved.value());
}

// Two passes under way at once hold twice as much.
TEST(TorchAllocations, WhatTheScheduleHoldsIsHeld) {
  Rank rank;
  rank.blocks = {block(32 * kMiB, 64 * kMiB)};
  rank.actions = {{{ActionKind::forward, 0, 0}, {}},
                  {{ActionKind::forward, 0, 1}, {}},
                  {{ActionKind::backward, 0, 0}, {}},
                  {{ActionKind::backward, 0, 1}, {}}};
  EXPECT_EQ(rank.peaks().allocated.value(), 3 * 64 * kMiB + 2 * 64 * kMiB);
}

// New buckets are made while the old ones are there, so that as much as all gradients stays unused.
TEST(TorchAllocations, DdpMakesItsBucketsTwice) {
  Rank rank;
  rank.blocks = {block(512 * kMiB, 64 * kMiB)};
  rank.passes(1);
  const AllocatorPeaks peaks = rank.peaks(true);
  EXPECT_EQ(peaks.allocated.value(), 4 * 1024 * kMiB + 64 * kMiB);
  EXPECT_EQ(peaks.unused().value(), 1024 * kMiB) << "the old bucket; activations have a block of their own size";
}

TEST(TorchAllocations, FsdpCopiesOnStreamsOfTheirOwn) {
  Rank whole, sharded;
  whole.blocks = sharded.blocks = {block(32 * kMiB, 64 * kMiB), block(32 * kMiB, 64 * kMiB)};
  whole.passes(1);
  sharded.passes(1);
  sharded.setting.plan.sharding = Sharding::zero_3;
  EXPECT_GT(sharded.peaks().unused().value(), whole.peaks().unused().value());
}

}  // namespace
}  // namespace trillion::torch_allocations_test
