// The ends of the model, t tokens, vocabulary V. The algebra:
//   embedding  a lookup: moves the residual stream, computes nothing, keeps nothing
//   head       three products of 2 t h V / tp FLOPs, in BF16 whatever the recipe; keeps its norm's tensors and 2 V / tp bytes of
//              logits a token (the loss leaves their gradient in their place; memory.md's 4 V are FP32 logits)
//   MTP        projects two hidden states to one: 2 t x 2 h x h FLOPs a pass
#include <gtest/gtest.h>

#include "sim/workload/passes.h"
#include "tests/support/block_setting.h"

namespace trillion::ends_test {
namespace {

using namespace testing_support;

BlockSetting setting_with_vocabulary(std::int64_t vocabulary) {
  BlockSetting setting(dense_model(1));
  setting.model.vocab_size = vocabulary;
  return setting;
}

TEST(Ends, AnEmbeddingIsALookup) {
  const BlockSetting setting = setting_with_vocabulary(128000);
  const Passes p = embedding(setting.context());
  const Bytes residual{2.0 * 4096 * 4096};
  EXPECT_EQ(std::get<MemoryBound>(p.forward.front().what), (MemoryBound{MemoryKernel::embedding, residual, residual}));
  EXPECT_TRUE(p.backward.empty());  // nothing is before it
  // The gradient's rows (2 bytes a value) are added to an FP32 table (4 in, 4 out).
  EXPECT_EQ(std::get<MemoryBound>(p.weight.front().what), (MemoryBound{MemoryKernel::embedding_backward, 3 * residual, 2 * residual}));
  EXPECT_TRUE(p.saved.empty());
}

TEST(Ends, APartOfTheVocabularyLooksAllTokensUpAndAddsThePartsUp) {
  BlockSetting setting = setting_with_vocabulary(128000);
  setting.plan.tensor_parallel = 4;
  EXPECT_EQ(labels(embedding(setting.context()).forward), (std::vector<std::string>{"embedding", "embedding all-reduce"}));
  setting.plan.sequence_parallel = true;
  const Passes p = embedding(setting.context());
  EXPECT_EQ(labels(p.forward).back(), "embedding reduce-scatter");
  EXPECT_EQ(labels(p.backward), std::vector<std::string>{"embedding all-gather gradient"});
  EXPECT_EQ(std::get<MemoryBound>(p.forward.front().what).read, Bytes{2.0 * 4096 * 4096});
}

TEST(Ends, TheHeadsProductsDoTheWorkOfItsMatrix) {
  for (const std::int64_t ranks : {1, 2, 8}) {
    BlockSetting setting = setting_with_vocabulary(128000);
    setting.plan.tensor_parallel = ranks;
    setting.plan.precision = Precision::fp8;
    const Passes p = output_head(setting.context());
    for (const Operations* ops : {&p.forward, &p.backward, &p.weight}) {
      EXPECT_DOUBLE_EQ(work<Gemm>(*ops), 2.0 * 4096 * 4096 * 128000 / static_cast<double>(ranks));
      EXPECT_EQ(of_type<Gemm>(*ops).front().dtype, DType::bf16);
      EXPECT_EQ(count(*ops, Category::cast_and_quantize), 0u);
    }
    EXPECT_EQ(count(p.backward, Category::tensor_parallel), ranks == 1 ? 0u : 1u);
  }
}

TEST(Ends, TheHeadKeepsItsLogits) {
  BlockSetting setting = setting_with_vocabulary(128000);
  EXPECT_DOUBLE_EQ(total_bytes(output_head(setting.context()).saved) / 4096, 4.0 * 4096 + 2.0 * 128000);
  setting.plan.recompute = {RecomputeModule::norm};
  setting.plan.tensor_parallel = 4;
  EXPECT_DOUBLE_EQ(total_bytes(output_head(setting.context()).saved) / 4096, 2.0 * 4096 + 2.0 * 128000 / 4);
}

TEST(Ends, TheLossComesBetweenTheProducts) {
  const Passes p = output_head(setting_with_vocabulary(1000).context());
  EXPECT_EQ(labels(p.forward).back(), "cross entropy");
  EXPECT_EQ(labels(p.backward).front(), "cross entropy backward");
  EXPECT_EQ(labels(p.backward).back(), "final norm backward");
}

// 4 bytes a logit and pass, in and out: cast, two reductions, subtraction, exponential and division forward; product and cast backward.
TEST(Ends, AnUnfusedLossPassesOverFp32LogitsAgainAndAgain) {
  BlockSetting setting = setting_with_vocabulary(128000);
  setting.unfused = {UnfusedPart::cross_entropy};
  setting.plan.tensor_parallel = 4;
  const Passes p = output_head(setting.context()), fused = [&] {
    BlockSetting other = setting;
    other.unfused.clear();
    return output_head(other.context());
  }();
  const double logits = 4096.0 * 128000 / 4;
  const auto moved = [](const Operations& ops) {
    double bytes = 0;
    for (const MemoryBound& k : of_type<MemoryBound>(ops)) bytes += (k.read + k.written).value();
    return bytes;
  };
  EXPECT_DOUBLE_EQ(moved(p.forward) - moved(fused.forward), (38 - 6) * logits);
  EXPECT_DOUBLE_EQ(moved(p.backward) - moved(fused.backward), (14 - 4) * logits);
  EXPECT_DOUBLE_EQ(total_bytes(p.saved) - total_bytes(fused.saved), 2 * logits) << "the softmax is kept in FP32";
  EXPECT_EQ(count(p.forward, Category::tensor_parallel) - count(fused.forward, Category::tensor_parallel), 3u);
  setting.plan.tensor_parallel = 1;
  EXPECT_EQ(count(output_head(setting.context()).forward, Category::tensor_parallel), 0u);
}

TEST(Ends, AnMtpModuleProjectsTwoHiddenStatesToOne) {
  BlockSetting setting = setting_with_vocabulary(1000);
  const Passes p = mtp_projection(setting.context());
  for (const Operations* ops : {&p.forward, &p.backward, &p.weight}) EXPECT_DOUBLE_EQ(work<Gemm>(*ops), 2.0 * 4096 * (2 * 4096) * 4096);
  EXPECT_TRUE(has(p.forward, "mtp hidden norm"));
  EXPECT_TRUE(has(p.forward, "mtp embedding norm"));
  EXPECT_DOUBLE_EQ(total_bytes(p.saved) / 4096, 2 * 4.0 * 4096);  // two norms, input and output
  setting.plan.precision = Precision::fp8;
  EXPECT_EQ(of_type<Gemm>(mtp_projection(setting.context()).forward).front().dtype, DType::fp8_block);
}

}  // namespace
}  // namespace trillion::ends_test
