// The fullest moment of a rank that runs PyTorch. By hand, for blocks with parameters P_i, saved S_i and transient T_i:
//   max over i of  [gradients of the blocks after i]  +  [S of the blocks up to i]  +  T_i,      or all gradients once the first is done
// and over several micro-batches all gradients are there from the second one on.
#include "sim/workload/torch_memory.h"

#include <gtest/gtest.h>

#include "tests/support/block_setting.h"

namespace trillion {
namespace {

using namespace testing_support;

Block block(double parameters, double saved, double transient) {
  Block b;
  b.parameters.dense = parameters;
  b.saved = {{"all", Bytes{saved}}};
  b.transient = Bytes{transient};
  return b;
}

BlockContext context(const BlockSetting& s, std::int64_t micro_batches) {
  BlockContext c = s.context();
  c.framework = Framework::torch_eager;
  c.micro_batches = micro_batches;
  return c;
}

BlockSetting setting() {
  BlockSetting s(dense_model(1));
  s.training.optimizer_state = {0, 2, 2, 2};
  return s;
}

TEST(TorchMemory, TheLossIsTheFullestMomentOfALargeVocabulary) {
  const BlockSetting s = setting();
  const Block first = block(100, 1000, 10), last = block(50, 2000, 5000);
  const StageMemory m = torch_memory({{&first, &last}, Bytes{3000}, 150}, context(s, 1), Bytes{7});
  EXPECT_DOUBLE_EQ(m.parameters.value(), 300);
  EXPECT_DOUBLE_EQ(m.optimizer.value(), 600);
  EXPECT_DOUBLE_EQ(m.gradients.value(), 0);
  EXPECT_DOUBLE_EQ(m.activations.value(), 3000);
  EXPECT_DOUBLE_EQ(m.buffers.value(), 5007);
}

TEST(TorchMemory, TheEndIsTheFullestMomentOfManyParameters) {
  const BlockSetting s = setting();
  const Block first = block(10000, 100, 10), last = block(5000, 200, 50);
  const StageMemory m = torch_memory({{&first, &last}, Bytes{300}, 15000}, context(s, 1), Bytes{});
  EXPECT_DOUBLE_EQ(m.gradients.value(), 30000);
  EXPECT_DOUBLE_EQ(m.activations.value(), 0);
  EXPECT_DOUBLE_EQ(m.buffers.value(), 10);
}

// Of 15000 parameters this rank holds a tenth in FP32, and two blocks in BF16; gradients are reduced in FP32.
TEST(TorchMemory, FsdpHoldsShardsTwoBlocksAndOneBlocksGradients) {
  BlockSetting s = setting();
  s.plan.sharding = Sharding::zero_3;
  s.training.optimizer_state = {4, 4, 4, 4};
  const Block first = block(10000, 100, 10), last = block(5000, 200, 50);
  const StageMemory m = torch_memory({{&first, &last}, Bytes{300}, 1500}, context(s, 1), Bytes{});
  EXPECT_DOUBLE_EQ(m.parameters.value(), 4 * 1500 + 2 * 15000);
  EXPECT_DOUBLE_EQ(m.optimizer.value(), 8 * 1500);
  EXPECT_DOUBLE_EQ(m.gradients.value(), 4 * 1500) << "all of the shard, when the first block ends the pass";
  EXPECT_DOUBLE_EQ(m.buffers.value(), 10 + (2 + 4) * 10000);
}

TEST(TorchMemory, FurtherMicroBatchesBeginWithGradients) {
  const BlockSetting s = setting();
  const Block first = block(100, 1000, 10), last = block(50, 2000, 5000);
  const TorchRank rank{{&first, &last}, Bytes{3000}, 150};
  EXPECT_DOUBLE_EQ(torch_memory(rank, context(s, 2), {}).gradients.value(), 300);
  EXPECT_DOUBLE_EQ((torch_memory(rank, context(s, 2), {}).peak() - torch_memory(rank, context(s, 1), {}).peak()).value(), 300);
}

}  // namespace
}  // namespace trillion
