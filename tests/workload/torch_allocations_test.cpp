// A rank's tensors through the allocator. The algebra:
//   reserved >= allocated; a further micro-batch and a further step find their memory free
//   passes under way at once hold what each saves
//   DDP's first bucket is as large as all gradients, and its place stays; FSDP's copies are on streams of their own
#include "sim/workload/torch_allocations.h"

#include <gtest/gtest.h>

#include "tests/support/block_setting.h"

namespace trillion::torch_allocations_test {
namespace {

using namespace testing_support;

struct Rank {
  BlockSetting setting{dense_model(1)};
  std::vector<Action> actions;
  bool expandable = false, reshards_ends = false, bucketed = false;
  Framework framework = Framework::torch_eager;
  Bytes workspace;

  Rank() {
    setting.training.optimizer_state = {0, 2, 2, 2};
    setting.training.sequence_length = 8192;
  }
  AllocatorPeaks peaks() const {
    BlockContext c = setting.context();
    c.framework = framework;
    std::vector<Block> blocks;
    for (const BlockKind kind : {BlockKind::embedding, BlockKind::dense_layer, BlockKind::dense_layer, BlockKind::head})
      blocks.push_back(make_block(kind, c));
    AllocationInput in{.actions = actions,
                       .stages = {{}},
                       .context = c,
                       .bucketed = bucketed,
                       .workspace = workspace,
                       .expandable_segments = expandable,
                       .reshards_ends = reshards_ends};
    for (const Block& b : blocks) in.stages[0].push_back(&b);
    return allocator_peaks(in);
  }
  double parameters() const {
    double all = 0;
    for (const BlockKind kind : {BlockKind::embedding, BlockKind::dense_layer, BlockKind::dense_layer, BlockKind::head})
      all += setting.block(kind).parameters.total();
    return all;
  }
  void passes(std::int32_t micro_batches) {
    for (std::int32_t m = 0; m < micro_batches; ++m) {
      actions.push_back({{ActionKind::forward, 0, m}, {}});
      actions.push_back({{ActionKind::backward, 0, m}, {}});
    }
  }
};

TEST(TorchAllocations, ReservedIsWhatIsAllocatedAndMore) {
  Rank rank;
  rank.passes(1);
  const AllocatorPeaks peaks = rank.peaks();
  EXPECT_GT(peaks.allocated.value(), 3 * 2 * rank.parameters()) << "parameters and two moments";
  EXPECT_GE(peaks.reserved, peaks.allocated);
}

TEST(TorchAllocations, FurtherMicroBatchesFindTheirMemoryFree) {
  Rank two, four;
  two.passes(2);
  four.passes(4);
  EXPECT_EQ(two.peaks().reserved.value(), four.peaks().reserved.value());
}

TEST(TorchAllocations, BothThreadsHaveAWorkspace) {
  Rank without, with;
  without.passes(1);
  with.passes(1);
  with.workspace = Bytes{1 << 25};
  EXPECT_EQ((with.peaks().allocated - without.peaks().allocated).value(), 2 << 25);
}

// Cosines and sines of all positions are there all along.
TEST(TorchAllocations, RotaryTablesStay) {
  Rank none, rotated;
  for (Rank* rank : {&none, &rotated}) {
    rank->passes(1);
    rank->setting.model.position_encoding = PositionEncoding::rope;
  }
  rotated.setting.model.max_position_embeddings = 1 << 16;
  EXPECT_EQ((rotated.peaks().allocated - none.peaks().allocated).value(),
            2 * 4 * 65536.0 * static_cast<double>(none.setting.model.head_dim));
}

// Parameters, two moments, the sum of gradients and, since a graph hands them out together, all of the second pass.
TEST(TorchAllocations, AGraphHandsOutItsGradientsTogether) {
  Rank rank;
  rank.framework = Framework::torch_compiled;
  rank.passes(2);
  EXPECT_GE(rank.peaks().allocated.value(), (2 + 4 + 2 + 2) * rank.parameters());
}

TEST(TorchAllocations, WhatTheScheduleHoldsIsHeld) {
  Rank one, both;
  one.passes(1);
  both.actions = {{{ActionKind::forward, 0, 0}, {}},
                  {{ActionKind::forward, 0, 1}, {}},
                  {{ActionKind::backward, 0, 0}, {}},
                  {{ActionKind::backward, 0, 1}, {}}};
  EXPECT_GT((both.peaks().allocated - one.peaks().allocated).value(), 0);
}

TEST(TorchAllocations, TheFirstBucketOfDdpLeavesItsPlace) {
  Rank rank;
  rank.passes(1);
  const Bytes without = rank.peaks().allocated;
  rank.bucketed = true;
  EXPECT_GE(rank.peaks().reserved.value(), without.value() + 2 * rank.parameters()) << "buckets stay, gradients come and go";
}

TEST(TorchAllocations, FsdpCopiesOnStreamsOfTheirOwn) {
  Rank whole, sharded;
  whole.passes(1);
  sharded.passes(1);
  sharded.setting.plan.sharding = Sharding::zero_3;
  EXPECT_GT(sharded.peaks().unused().value(), whole.peaks().unused().value());
}

// Ends that are given back before the loss are not there at its largest moment.
TEST(TorchAllocations, EndsMayBeGatheredAnew) {
  Rank stay, again;
  for (Rank* rank : {&stay, &again}) {
    rank->passes(1);
    rank->setting.plan.sharding = Sharding::zero_3;
    rank->setting.model.vocab_size = 128256;
  }
  again.reshards_ends = true;
  const double ends = 2 * 2 * 128256.0 * static_cast<double>(stay.setting.model.hidden_size);
  EXPECT_NEAR((stay.peaks().allocated - again.peaks().allocated).value(), ends, 0.02 * ends);
}

TEST(TorchAllocations, ExpandableSegmentsLeaveLessUnused) {
  Rank fixed, grown;
  fixed.passes(3);
  grown.passes(3);
  grown.expandable = true;
  EXPECT_EQ(fixed.peaks().allocated.value(), grown.peaks().allocated.value());
  EXPECT_LE(grown.peaks().unused().value(), fixed.peaks().unused().value());
}

}  // namespace
}  // namespace trillion::torch_allocations_test
