// Attention without FlashAttention, with n = sequences x heads x queries x keys scores on a rank, d channels a head:
//   work    forward 4 n d FLOPs, the full matrix; backward 8 n d; with recompute: attention 2 n d more
//   saved   5 n bytes (Korthikanti et al. 2022, table 2: 5 a s / h of s b h), nothing with recompute: attention
#include "sim/workload/unfused_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/workload/passes.h"
#include "tests/support/block_setting.h"

namespace trillion::unfused_attention_test {
namespace {

using namespace testing_support;

// 22B of that paper: 64 heads of 96, 2048 tokens, micro-batches of 4, 8 ranks.
BlockSetting megatron_22b() {
  BlockSetting setting(shipped_model("megatron-22b"));
  setting.training.sequence_length = 2048;
  setting.plan.tensor_parallel = 8;
  setting.plan.micro_batch_size = 4;
  setting.unfused = {UnfusedPart::attention};
  return setting;
}

constexpr double kScores = 4.0 * (64.0 / 8) * 2048 * 2048, kDim = 96;

TEST(UnfusedAttention, DoesTheFullMatrix) {
  const BlockSetting setting = megatron_22b();
  EXPECT_DOUBLE_EQ(work<Gemm>(unfused_attention_forward(setting.context())), 4 * kScores * kDim);
  EXPECT_DOUBLE_EQ(work<Gemm>(unfused_attention_backward(setting.context())), 8 * kScores * kDim);
}

TEST(UnfusedAttention, KeepsFiveBytesAScoreOrRunsAgain) {
  BlockSetting setting = megatron_22b();
  EXPECT_DOUBLE_EQ(total_bytes(unfused_attention_saved(setting.context())), 5 * kScores);
  const double once = work<Gemm>(unfused_attention_backward(setting.context()));
  setting.plan.recompute = {RecomputeModule::attention};
  EXPECT_TRUE(unfused_attention_saved(setting.context()).empty());
  const Operations again = unfused_attention_backward(setting.context());
  EXPECT_DOUBLE_EQ(work<Gemm>(again) - once, 2 * kScores * kDim);
  EXPECT_EQ(count(again, Category::recompute), 3u);
}

// 34 s b h / t bytes a layer with sequence parallelism and selective recomputation; four of them are ours to the byte only if the
// layer norms' statistics and the log-sum-exp stay out, as in the paper.
TEST(UnfusedAttention, ALayerKeepsWhatThePaperCounts) {
  BlockSetting setting = megatron_22b();
  setting.plan.sequence_parallel = true;
  setting.plan.recompute = {RecomputeModule::attention};
  const double sbh = 2048.0 * 4 * 6144;
  EXPECT_DOUBLE_EQ(total_bytes(setting.block(BlockKind::dense_layer).saved), 34 * sbh / 8);
  setting.plan.recompute = {};
  EXPECT_DOUBLE_EQ(total_bytes(setting.block(BlockKind::dense_layer).saved), 34 * sbh / 8 + 5 * kScores);
}

TEST(UnfusedAttention, TakesThePlaceOfTheFusedKernel) {
  BlockSetting setting = megatron_22b();
  const Passes unfused = grouped_query_attention(setting.context());
  EXPECT_TRUE(of_type<Attention>(unfused.forward).empty());
  EXPECT_TRUE(of_type<Attention>(unfused.backward).empty());
  EXPECT_FALSE(keeps(unfused.saved, "attention log-sum-exp"));
  setting.unfused.clear();
  EXPECT_EQ(of_type<Attention>(grouped_query_attention(setting.context()).forward).size(), 1u);
}

// DeepSeek-V3's heads: queries and keys of 192, values of 128; no dropout.
TEST(UnfusedAttention, LatentAttentionHasHeadsOfTwoWidthsAndNoDropout) {
  BlockSetting setting(shipped_model("deepseek-v3"));
  setting.training.sequence_length = 4096;
  setting.unfused = {UnfusedPart::attention};
  const double scores = 128.0 * 4096 * 4096;
  EXPECT_DOUBLE_EQ(work<Gemm>(unfused_attention_forward(setting.context())), 2 * scores * (192 + 128));
  EXPECT_DOUBLE_EQ(work<Gemm>(unfused_attention_backward(setting.context())), 4 * scores * (192 + 128));
  EXPECT_DOUBLE_EQ(total_bytes(unfused_attention_saved(setting.context())), 2 * scores);
  const Passes layer = latent_attention(setting.context());
  EXPECT_TRUE(of_type<Attention>(layer.forward).empty());
  EXPECT_TRUE(of_type<Attention>(layer.backward).empty());
  EXPECT_FALSE(keeps(layer.saved, "attention log-sum-exp"));
  for (const Operation& op : layer.forward) EXPECT_EQ(op.label.find("dropout"), std::string::npos);
}

}  // namespace
}  // namespace trillion::unfused_attention_test
