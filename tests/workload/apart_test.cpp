// Kernels that a stack runs apart. The algebra, with t tokens, r on the residual stream, h channels, 2 bytes a value:
//   bias           one sum over rows for each bias, of its layer's output gradient; one addition, of queries, keys and values
//   layouts        forward and back move what attention takes and gives once more, and nothing where there is nothing to move
//   gradient_sums  6 r h bytes in place of the 2 r h that the norm's backward pass reads more
//   accumulation   the product writes 16 bits; an addition for every micro-batch but where there is only one
//   all of them    add kernels; products, FLOPs and what is kept stay as they were
#include "sim/workload/apart.h"

#include <gtest/gtest.h>

#include "sim/workload/expert_exchange.h"
#include "sim/workload/experts.h"
#include "tests/support/block_setting.h"

namespace trillion::apart_test {
namespace {

using namespace testing_support;

double moved(const Operations& ops) {
  double sum = 0;
  for (const MemoryBound& m : of_type<MemoryBound>(ops)) sum += m.read.value() + m.written.value();
  return sum;
}

double moved(const Block& b) {
  return moved(b.before_exchange) + moved(b.experts) + moved(b.experts_backward) + moved(b.before_exchange_backward) +
         moved(b.experts_weight) + moved(b.before_exchange_weight);
}

BlockSetting gpt() {
  BlockSetting setting(shipped_model("gpt3-175b"));
  setting.plan.tensor_parallel = 8;
  return setting;
}

double bytes_more(BlockSetting setting, UnfusedPart part, BlockKind kind = BlockKind::dense_layer) {
  const double before = moved(setting.block(kind));
  setting.unfused.push_back(part);
  return moved(setting.block(kind)) - before;
}

TEST(Apart, EachBiasIsSummedOnceAndThatOfQueriesKeysAndValuesAdded) {
  BlockSetting setting = gpt();
  const double t = setting.tokens(), h = 12288;
  // Gradients: outputs of qkv (3 h / 8), o (h), up (4 h / 8), down (h). The addition reads and writes 3 h / 8.
  EXPECT_DOUBLE_EQ(bytes_more(setting, UnfusedPart::bias), 2 * t * h * (3.0 / 8 + 1 + 0.5 + 1) + 4 * t * h * 3 / 8);
  setting.plan.sequence_parallel = true;  // o and down add theirs on the residual stream
  EXPECT_DOUBLE_EQ(bytes_more(setting, UnfusedPart::bias), 2 * t * h * (3.0 / 8 + 1.0 / 8 + 0.5 + 1.0 / 8) + 4 * t * h * 3 / 8);
  EXPECT_DOUBLE_EQ(bytes_more(BlockSetting(dense_model(1)), UnfusedPart::bias), 0);  // Llama has none
}

TEST(Apart, WhatAttentionTakesAndGivesIsMovedOnceMore) {
  const BlockSetting llama(dense_model(1));  // 32 heads, 8 of keys, 128 channels
  const double t = llama.tokens(), q = 32 * 128, kv = 8 * 128;
  EXPECT_DOUBLE_EQ(bytes_more(llama, UnfusedPart::layouts), 4 * t * (q + kv + (q + 2 * kv)));
  BlockSetting alone = llama;
  alone.model.num_key_value_heads = 32;  // queries need no regrouping
  EXPECT_DOUBLE_EQ(bytes_more(alone, UnfusedPart::layouts), 4 * t * (q + 3 * q));
  BlockSetting unfused = gpt();
  EXPECT_DOUBLE_EQ(bytes_more(unfused, UnfusedPart::layouts), 0);  // no rotation: one tensor, read in place
  unfused.unfused = {UnfusedPart::attention};
  EXPECT_DOUBLE_EQ(bytes_more(unfused, UnfusedPart::layouts), 4 * unfused.tokens() * 12288 / 8 * (1 + 3));
}

TEST(Apart, GradientsThatMeetAreAddedInAKernel) {
  for (const bool sequence_parallel : {false, true}) {
    BlockSetting setting = gpt();
    setting.plan.sequence_parallel = sequence_parallel;
    const double residual = 2 * setting.tokens() * 12288 / (sequence_parallel ? 8 : 1);
    EXPECT_DOUBLE_EQ(bytes_more(setting, UnfusedPart::gradient_sums), 2 * (3 - 1) * residual);  // both norms
  }
  BlockSetting head = gpt();
  EXPECT_DOUBLE_EQ(bytes_more(head, UnfusedPart::gradient_sums, BlockKind::head), 0);  // nothing meets before the last norm
}

TEST(Apart, AWeightGradientIsAddedToTheOthers) {
  BlockSetting setting = gpt();
  setting.training.optimizer_state.gradient_bytes = 2;
  EXPECT_DOUBLE_EQ(bytes_more(setting, UnfusedPart::accumulation), 0);  // one micro-batch
  setting.micro_batches = 2;
  const double weights = 12.0 * 12288 * 12288 / 8;
  EXPECT_DOUBLE_EQ(bytes_more(setting, UnfusedPart::accumulation), (2 + 2 + 2) * weights);
  setting.training.optimizer_state.gradient_bytes = 4;
  EXPECT_DOUBLE_EQ(bytes_more(setting, UnfusedPart::accumulation), (2 + 4 + 4) * weights);
  setting.unfused = {UnfusedPart::accumulation};
  for (const Gemm& g : of_type<Gemm>(setting.block(BlockKind::dense_layer).experts_weight)) EXPECT_FALSE(g.accumulate_fp32);
}

TEST(Apart, ASquaredReluRunsInSixPieces) {
  BlockSetting setting(shipped_model("nemotron-4-340b"));
  const double values = setting.tokens() * 73728;
  // Fused: reads and writes one value | reads two, writes one. In pieces: 2 x (1 + 1) | (1 + 1) + (1 + 1) + (2 + 1) + (2 + 1).
  EXPECT_DOUBLE_EQ(bytes_more(setting, UnfusedPart::squared_relu), 2 * values * ((4 - 2) + (10 - 3)));
  EXPECT_DOUBLE_EQ(bytes_more(gpt(), UnfusedPart::squared_relu), 0);
}

// Rows arrive in BF16 and are quantised there: 2 bytes a value on the wire both ways, and one cast before each of the four products.
TEST(Apart, ExpertsQuantiseWhatArrives) {
  Plan plan;
  plan.precision = Precision::fp8;
  plan.expert_parallel = 8;
  BlockSetting setting(shipped_model("qwen3-30b-a3b"), plan);
  setting.unfused = {UnfusedPart::expert_casts};
  const Exchanges e = exchanges(setting.context());
  const auto bytes = [](const Operation& op) { return std::get<Collective>(op.what).scale_up_bytes; };
  EXPECT_EQ(bytes(*e.dispatch), bytes(*e.combine));
  EXPECT_FALSE(e.combine_backward_cast);
  const Passes p = routed_feed_forward(setting.context());
  EXPECT_EQ(count(p.forward, Category::cast_and_quantize), 2u);
  EXPECT_EQ(count(p.backward, Category::cast_and_quantize), 2u);
  EXPECT_EQ(count(p.weight, Category::cast_and_quantize), 0u);
}

TEST(Apart, ProductsAndWhatIsKeptStay) {
  BlockSetting setting = gpt();
  setting.micro_batches = 4;
  const Block before = setting.block(BlockKind::dense_layer);
  setting.unfused = {UnfusedPart::bias, UnfusedPart::layouts, UnfusedPart::gradient_sums, UnfusedPart::squared_relu,
                     UnfusedPart::accumulation};
  const Block after = setting.block(BlockKind::dense_layer);
  const auto products = [](const Block& b) {
    return work<Gemm>(b.before_exchange) + work<Gemm>(b.experts) + work<Gemm>(b.experts_backward) + work<Gemm>(b.before_exchange_backward) +
           work<Gemm>(b.experts_weight) + work<Gemm>(b.before_exchange_weight);
  };
  EXPECT_DOUBLE_EQ(products(before), products(after));
  EXPECT_DOUBLE_EQ(total_bytes(before.saved), total_bytes(after.saved));
}

}  // namespace
}  // namespace trillion::apart_test
