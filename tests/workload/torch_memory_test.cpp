// The fullest moment of a rank that runs PyTorch. By hand, for blocks with parameters P_i, saved S_i and transient T_i:
//   max over i of  [gradients of the blocks after i]  +  [S of the blocks up to i]  +  T_i,      or all gradients once the first is done
// and the gradients that earlier passes have left are there all along.
#include "sim/workload/torch_memory.h"

#include <gtest/gtest.h>

#include "tests/support/block_setting.h"

namespace trillion::torch_memory_test {
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
  EXPECT_DOUBLE_EQ(m.buffers.value(), 5014) << "a workspace for each of two threads";
}

TEST(TorchMemory, TheEndIsTheFullestMomentOfManyParameters) {
  const BlockSetting s = setting();
  const Block first = block(10000, 100, 10), last = block(5000, 200, 50);
  const StageMemory m = torch_memory({{&first, &last}, Bytes{300}, 15000}, context(s, 1), Bytes{});
  EXPECT_DOUBLE_EQ(m.gradients.value(), 30000);
  EXPECT_DOUBLE_EQ(m.activations.value(), 0);
  EXPECT_DOUBLE_EQ(m.buffers.value(), 10);
}

// Of 15000 parameters this rank holds a tenth in FP32; gradients are reduced in FP32. The first layer ends the pass: its own parameters
// in BF16, its gradients in BF16 and copied for the reduction, all of the shard's gradients.
BlockSetting fsdp() {
  BlockSetting s = setting();
  s.plan.sharding = Sharding::zero_3;
  s.training.optimizer_state = {4, 4, 4, 4};
  return s;
}

TEST(TorchMemory, FsdpHoldsShardsAndTheLayersAtHand) {
  const BlockSetting s = fsdp();
  const Block first = block(10000, 100, 10), last = block(5000, 200, 50);
  const StageMemory m = torch_memory({{&first, &last}, Bytes{300}, 1500}, context(s, 1), Bytes{});
  EXPECT_DOUBLE_EQ(m.parameters.value(), 4 * 1500 + 2 * 10000);
  EXPECT_DOUBLE_EQ(m.optimizer.value(), 8 * 1500);
  EXPECT_DOUBLE_EQ(m.gradients.value(), 4 * 1500);
  EXPECT_DOUBLE_EQ(m.buffers.value(), (2 + 4) * 10000);
}

// At the loss: the group of the ends and the last layer, prefetched, are gathered; nothing has a gradient yet.
TEST(TorchMemory, FsdpKeepsTheEndsGathered) {
  const BlockSetting s = fsdp();
  Block embedding = block(3000, 0, 0), head = block(3000, 500, 1000000);
  embedding.kind = BlockKind::embedding;
  head.kind = BlockKind::head;
  const Block layer = block(4000, 100, 10);
  const StageMemory m = torch_memory({{&embedding, &layer, &head}, Bytes{600}, 1000}, context(s, 1), Bytes{});
  EXPECT_DOUBLE_EQ(m.parameters.value(), 4 * 1000 + 2 * (6000 + 4000));
  EXPECT_DOUBLE_EQ(m.gradients.value(), 0);
  EXPECT_DOUBLE_EQ(m.activations.value(), 600);
  EXPECT_DOUBLE_EQ(m.buffers.value(), 1000000);
}

TEST(TorchMemory, UnderAPipelineFsdpKeepsAllWhole) {
  BlockSetting s = fsdp();
  s.plan.pipeline_parallel = 2;
  const Block first = block(10000, 100, 10), last = block(5000, 200, 50);
  const StageMemory m = torch_memory({{&first, &last}, Bytes{300}, 1500, 0, 15000}, context(s, 4), Bytes{});
  EXPECT_DOUBLE_EQ(m.parameters.value(), 4 * 1500 + 2 * 15000);
  EXPECT_DOUBLE_EQ(m.gradients.value(), 4 * 15000) << "in the type of the reduction";
}

// DDP's buckets hold the gradients from step to step; passes that do not reduce leave gradients of their own beside them.
TEST(TorchMemory, DdpHoldsItsBuckets) {
  const BlockSetting s = setting();
  const Block first = block(100, 1000, 10), last = block(50, 2000, 5000);
  TorchRank alone{{&first, &last}, Bytes{3000}, 150}, one{{&first, &last}, Bytes{3000}, 150, 150};
  EXPECT_DOUBLE_EQ((torch_memory(one, context(s, 1), {}).peak() - torch_memory(alone, context(s, 1), {}).peak()).value(), 300);
  alone.with_gradients = one.with_gradients = 150;
  EXPECT_DOUBLE_EQ((torch_memory(one, context(s, 2), {}).peak() - torch_memory(alone, context(s, 2), {}).peak()).value(), 300);
}

TEST(TorchMemory, LaterPassesBeginWithGradients) {
  const BlockSetting s = setting();
  const Block first = block(100, 1000, 10), last = block(50, 2000, 5000);
  const StageMemory earliest = torch_memory({{&first, &last}, Bytes{3000}, 150, 0, 0}, context(s, 2), {});
  const StageMemory later = torch_memory({{&first, &last}, Bytes{3000}, 150, 0, 150}, context(s, 2), {});
  EXPECT_DOUBLE_EQ(earliest.gradients.value(), 0);
  EXPECT_DOUBLE_EQ(later.gradients.value(), 300);
  EXPECT_DOUBLE_EQ((later.peak() - earliest.peak()).value(), 300);
}

// What the model's whole backward pass keeps is there to its end; a graph's gradients are its own until then.
TEST(TorchMemory, OneGraph) {
  const BlockSetting s = setting();
  BlockContext c = context(s, 2);
  c.framework = Framework::torch_compiled;
  const Block first = block(100, 1000, 5000);
  Block last = block(50, 2000, 10);
  last.kept_to_the_end = Bytes{1500};
  const StageMemory m = torch_memory({{&first, &last}, Bytes{3000}, 150, 0, 150}, c, Bytes{});
  EXPECT_DOUBLE_EQ(m.activations.value(), 1000 + 1500);
  EXPECT_DOUBLE_EQ(m.gradients.value(), 2 * (150 + 50));
  EXPECT_DOUBLE_EQ(m.buffers.value(), 5000);
}

}  // namespace
}  // namespace trillion::torch_memory_test
