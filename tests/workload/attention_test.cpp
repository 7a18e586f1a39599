// The attention modules. The algebra, for t tokens of this rank, h hidden, a heads of d, k key-value heads:
//   work      forward projections: 2 t x matrix parameters / tp (MLA's down-projections are on every rank); the two gradients: the
//             same each; the fused kernel: the published formula's causal half, over all context-parallel ranks together
//   kept      plain  4 h + 4 a d + 4 k d + 4 a bytes a token      (../shared facts, memory.md section 2; 4 a is the log-sum-exp)
//             MLA    input 2 h, latents, and unless computed again: output of the norm 2 h, normalised latents, q, k, v; output; lse
//   again     mla_up_projection adds exactly the up-projection's kernels to the backward pass and drops exactly its tensors
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/workload/counts.h"
#include "sim/workload/passes.h"
#include "tests/support/block_setting.h"

namespace trillion::attention_test {
namespace {

using namespace testing_support;
using testing::IsSubsetOf;

class TensorParallel : public testing::TestWithParam<std::int64_t> {};

TEST_P(TensorParallel, PlainProjectionsDoTheWorkOfTheirParameters) {
  BlockSetting setting(dense_model(1));
  setting.plan.tensor_parallel = GetParam();
  const Passes p = grouped_query_attention(setting.context());
  const double matrices = static_cast<double>(layer_parameters(setting.model, false).attention_matrices);
  const double expected = 2 * setting.tokens() * matrices / static_cast<double>(GetParam());
  for (const Operations* ops : {&p.forward, &p.backward, &p.weight}) EXPECT_DOUBLE_EQ(work<Gemm>(*ops), expected);
}

TEST_P(TensorParallel, LatentProjectionsDoTheWorkOfTheirParameters) {
  for (const char* name : {"deepseek-v3", "deepseek-v2-lite"}) {
    BlockSetting setting(shipped_model(name));
    setting.plan.tensor_parallel = GetParam();
    const LatentAttention& mla = *setting.model.mla;
    const Passes p = latent_attention(setting.context());
    const double matrices = static_cast<double>(layer_parameters(setting.model, false).attention_matrices);
    const double down =
        static_cast<double>(setting.model.hidden_size * (mla.q_lora_rank.value_or(0) + mla.kv_lora_rank + mla.qk_rope_head_dim));
    const double expected = 2 * setting.tokens() * ((matrices - down) / static_cast<double>(GetParam()) + down);
    for (const Operations* ops : {&p.forward, &p.backward, &p.weight}) EXPECT_DOUBLE_EQ(work<Gemm>(*ops), expected) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Ranks, TensorParallel, testing::Values(1, 2, 4, 8), testing::PrintToStringParamName());

TEST(Attention, MoreRanksThanKeyValueHeadsShareThem) {
  BlockSetting setting(dense_model(1));  // 8 key-value heads
  setting.plan.tensor_parallel = 16;
  const Passes p = grouped_query_attention(setting.context());
  EXPECT_EQ(of_type<Attention>(p.forward).front().kv_heads, 1);
  EXPECT_EQ(of_type<Attention>(p.forward).front().heads, 2);
  EXPECT_EQ(of_type<Gemm>(p.forward).front().n, (2 + 2 * 1) * 128);
}

TEST(Attention, TheFusedKernelDoesTheFormulasCausalHalf) {
  for (const char* name : {"deepseek-v3", "llama-3.1-8b"}) {
    BlockSetting setting(shipped_model(name));
    const TokenFlops formula = flops_per_token(setting.model, 4096);
    const double layers = static_cast<double>(setting.model.num_hidden_layers);
    // What full attention would do beyond the causal half is the causal half once more; a third of it is the forward pass's.
    const double expected = (formula.noncausal - formula.causal).value() / 3 / layers * 4096;
    for (const std::int64_t ranks : {1, 2, 4, 8}) {
      setting.plan.context_parallel = ranks;
      const Passes p = setting.model.mla ? latent_attention(setting.context()) : grouped_query_attention(setting.context());
      EXPECT_NEAR(static_cast<double>(ranks) * work<Attention>(p.forward) / expected, 1, 1e-12) << name << ", " << ranks << " ranks";
    }
  }
}

TEST(Attention, ContextParallelRanksGatherTheKeysAndValuesOfTheWholeSequence) {
  BlockSetting setting(dense_model(1));
  setting.plan.context_parallel = 4;
  const Passes p = grouped_query_attention(setting.context());
  const auto there = of_type<Collective>(p.forward), back = of_type<Collective>(p.backward);
  ASSERT_EQ(there.size(), 1u);
  ASSERT_EQ(back.size(), 2u);  // gathered again, then the gradients
  EXPECT_EQ(there.front().kind, CollectiveKind::all_gather);
  EXPECT_EQ(back.front(), there.front());
  EXPECT_EQ(back.back().kind, CollectiveKind::reduce_scatter);
  EXPECT_EQ(there.front().bytes, Bytes{2.0 * 4096 * 2 * 8 * 128});
  EXPECT_EQ(there.front().bytes, back.front().bytes);
  EXPECT_EQ(there.front().ranks, 4);
}

TEST(Attention, PlainAttentionKeepsWhatTheFormulaSays) {
  const BlockSetting setting(dense_model(1));
  const double h = 4096, a_d = 32 * 128, kv_d = 8 * 128, a = 32;
  EXPECT_DOUBLE_EQ(total_bytes(grouped_query_attention(setting.context()).saved) / 4096, 4 * h + 4 * a_d + 4 * kv_d + 4 * a);
}

TEST(Attention, LatentAttentionKeepsWhatTheFormulaSays) {
  const BlockSetting setting(shipped_model("deepseek-v3"));
  const double normalised = 2 * (1536 + 512), q = 49152, k = 49152, v = 32768, o = 32768, lse = 512;
  EXPECT_DOUBLE_EQ(total_bytes(latent_attention(setting.context()).saved) / 4096, 2 * 14336 + 4224 + normalised + q + k + v + o + lse);
}

TEST(Attention, DeepSeekV3KeepsInputLatentsAndAPackedOutput) {
  BlockSetting setting(shipped_model("deepseek-v3"));
  setting.plan.precision = Precision::fp8;
  setting.plan.recompute = {RecomputeModule::norm, RecomputeModule::mla_up_projection};
  const double e5m6 = 24576 + 4 * 16384 / 128;  // 12 bits a value, and a scale for each 128
  EXPECT_DOUBLE_EQ(total_bytes(latent_attention(setting.context()).saved) / 4096, 14336 + 4224 + e5m6 + 512);
}

TEST(Attention, RecomputingTheUpProjectionRunsExactlyItsKernelsAgain) {
  for (const Precision precision : {Precision::bf16, Precision::fp8}) {
    BlockSetting setting(shipped_model("deepseek-v3"));
    setting.plan.precision = precision;
    const Passes kept = latent_attention(setting.context());
    setting.plan.recompute = {RecomputeModule::mla_up_projection};
    const Passes again = latent_attention(setting.context());
    EXPECT_EQ(labels(again.forward), labels(kept.forward));

    Operations added;
    for (const Operation& op : again.backward) {
      if (op.category == Category::recompute) added.push_back(op);
    }
    EXPECT_EQ(again.backward.size(), kept.backward.size() + added.size());
    // They are the forward kernels after the down-projections and before the fused kernel.
    const std::vector<std::string> forward = labels(again.forward);
    const auto begin = std::find(forward.begin(), forward.end(), "q latent norm");
    const auto end = std::find(forward.begin(), forward.end(), "attention");
    ASSERT_EQ(static_cast<std::size_t>(end - begin), added.size());
    for (std::size_t i = 0; i < added.size(); ++i) {
      EXPECT_EQ(added[i].label, begin[static_cast<std::ptrdiff_t>(i)] + " again");
      EXPECT_EQ(added[i].what, named(again.forward, begin[static_cast<std::ptrdiff_t>(i)]).what);
    }
    EXPECT_TRUE(keeps(kept.saved, "MLA up-projections"));
    EXPECT_FALSE(keeps(again.saved, "MLA up-projections"));
    EXPECT_EQ(kept.saved.size(), again.saved.size() + 1);
  }
}

TEST(Attention, RecomputingAttentionRunsTheFusedKernelOnceMore) {
  for (const Model& model : {dense_model(1), shipped_model("deepseek-v3")}) {
    BlockSetting setting(model);
    setting.plan.recompute = {RecomputeModule::attention};
    const Passes p = model.mla ? latent_attention(setting.context()) : grouped_query_attention(setting.context());
    const auto fused = of_type<Attention>(p.backward);
    ASSERT_EQ(fused.size(), 2u);
    EXPECT_EQ(fused[0].direction, Direction::forward);
    EXPECT_EQ(fused[1].direction, Direction::backward);
    EXPECT_EQ(named(p.backward, "attention again").category, Category::recompute);
  }
}

TEST(Attention, QueriesWithoutALatentAreProjectedFromTheResidual) {
  const BlockSetting setting(shipped_model("deepseek-v2-lite"));
  const Passes p = latent_attention(setting.context());
  EXPECT_FALSE(has(p.forward, "q down"));
  EXPECT_FALSE(has(p.forward, "q latent norm"));
  EXPECT_EQ(of_type<Gemm>(p.forward).front().k, setting.model.hidden_size);
  EXPECT_EQ(of_type<Gemm>(p.weight).size(), 4u);
}

TEST(Attention, KernelsFollowTheModel) {
  BlockSetting setting(dense_model(1));
  EXPECT_TRUE(has(grouped_query_attention(setting.context()).forward, "rotary embedding"));
  EXPECT_FALSE(has(grouped_query_attention(setting.context()).forward, "q and k norm"));
  setting.model.position_encoding = PositionEncoding::learned;
  setting.model.qk_norm = true;
  const Passes p = grouped_query_attention(setting.context());
  EXPECT_FALSE(has(p.forward, "rotary embedding"));
  EXPECT_FALSE(has(p.backward, "rotary embedding backward"));
  EXPECT_TRUE(has(p.forward, "q and k norm"));
  EXPECT_TRUE(has(p.backward, "q and k norm backward"));
  EXPECT_TRUE(keeps(p.saved, "q and k before their norm"));
}

TEST(Attention, AStackThatFusesTheResidualHasOneKernelLess) {
  for (const Model& model : {dense_model(1), shipped_model("deepseek-v3")}) {
    BlockSetting setting(model);
    const auto forward = [&] {
      return labels((model.mla ? latent_attention(setting.context()) : grouped_query_attention(setting.context())).forward);
    };
    const auto apart = forward();
    setting.fuses_residual_with_norm = true;
    EXPECT_EQ(forward().size() + 1, apart.size());
    EXPECT_THAT(forward(), IsSubsetOf(apart));
  }
}

}  // namespace
}  // namespace trillion::attention_test
