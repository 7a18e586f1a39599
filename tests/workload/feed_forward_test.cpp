// The dense feed-forward network, t tokens, width f. The algebra:
//   work   each of the three passes does 2 t x parameters / tp FLOPs: 3 h f gated, 2 h f otherwise
//   kept   gated: 4 h (input and output of the norm) + 4 f (gate and up) + 2 f (their product) bytes a token; with attention's
//          4 h + 4 a d + 4 k d + 4 a that is the Llama-like layer of ../shared facts, memory.md section 2, plus the log-sum-exp
//   again  activation drops 2 f, norm 2 h; the FP8 recipe keeps the activation's input in FP8 instead of BF16
#include "sim/workload/feed_forward.h"

#include <gtest/gtest.h>

#include "sim/workload/counts.h"
#include "tests/support/block_setting.h"

namespace trillion::feed_forward_test {
namespace {

using namespace testing_support;

constexpr double kH = 4096, kF = 14336;

double kept_per_token(const BlockSetting& setting) { return total_bytes(dense_feed_forward(setting.context()).saved) / setting.tokens(); }

TEST(FeedForward, EachPassDoesTheWorkOfTheParameters) {
  for (const Activation activation : {Activation::swiglu, Activation::gelu}) {
    BlockSetting setting(dense_model(1));
    setting.model.activation = activation;
    for (const std::int64_t ranks : {1, 2, 4, 8}) {
      setting.plan.tensor_parallel = ranks;
      const Passes p = dense_feed_forward(setting.context());
      const double parameters = static_cast<double>(layer_parameters(setting.model, false).dense_ffn);
      EXPECT_DOUBLE_EQ(parameters, (activation == Activation::swiglu ? 3 : 2) * kH * kF);
      const double expected = 2 * setting.tokens() * parameters / static_cast<double>(ranks);
      for (const Operations* ops : {&p.forward, &p.backward, &p.weight}) EXPECT_DOUBLE_EQ(work<Gemm>(*ops), expected);
    }
  }
}

TEST(FeedForward, KeepsWhatTheFormulaSays) {
  BlockSetting setting(dense_model(1));
  EXPECT_DOUBLE_EQ(kept_per_token(setting), 4 * kH + 6 * kF);
  setting.plan.recompute = {RecomputeModule::activation};
  EXPECT_DOUBLE_EQ(kept_per_token(setting), 4 * kH + 4 * kF);
  setting.plan.recompute = {RecomputeModule::norm};
  EXPECT_DOUBLE_EQ(kept_per_token(setting), 2 * kH + 6 * kF);
}

TEST(FeedForward, AWholeLlamaLikeLayerKeepsWhatTheFormulaSays) {
  const BlockSetting setting(dense_model(1));
  const double a = 32, a_d = a * 128, k_d = 8 * 128;
  const Block layer = setting.block(BlockKind::dense_layer);
  EXPECT_DOUBLE_EQ(total_bytes(layer.saved) / setting.tokens(), 8 * kH + 4 * a_d + 4 * k_d + 6 * kF + 4 * a);
}

TEST(FeedForward, TensorAndSequenceParallelismSplitAllThatIsKept) {
  BlockSetting setting(dense_model(1));
  const double alone = kept_per_token(setting);
  setting.plan.tensor_parallel = 8;
  EXPECT_DOUBLE_EQ(kept_per_token(setting), 4 * kH + 6 * kF / 8);  // the residual stream is whole on every rank
  setting.plan.sequence_parallel = true;
  EXPECT_DOUBLE_EQ(kept_per_token(setting), alone / 8);
}

TEST(FeedForward, TheFP8RecipeKeepsTheActivationsInputInFP8) {
  BlockSetting setting(dense_model(1));
  setting.plan.precision = Precision::fp8;
  EXPECT_FALSE(keeps_input_in_fp8(FeedForward{}, setting.context()));
  EXPECT_DOUBLE_EQ(kept_per_token(setting), 4 * kH + 4 * kF + kFp8Bytes * kF);
  setting.plan.recompute = {RecomputeModule::activation};
  EXPECT_TRUE(keeps_input_in_fp8(FeedForward{}, setting.context()));
  EXPECT_DOUBLE_EQ(kept_per_token(setting), 4 * kH + 2 * kFp8Bytes * kF);
  const Passes p = dense_feed_forward(setting.context());
  EXPECT_TRUE(has(p.forward, "ffn keep activation input"));
  EXPECT_TRUE(has(p.backward, "ffn restore activation input"));
  setting.plan.precision = Precision::bf16;
  EXPECT_FALSE(keeps_input_in_fp8(FeedForward{}, setting.context()));
  EXPECT_FALSE(has(dense_feed_forward(setting.context()).forward, "ffn keep activation input"));
}

TEST(FeedForward, TheActivationIsGatedWhereTheModelSaysSo) {
  BlockSetting setting(dense_model(1));
  const FeedForward f{"ffn", 4096, 14336, LoadScale::none};
  const double values = 4096 * kF;
  EXPECT_EQ(up_factor(setting.model), 2);
  auto moved = std::get<MemoryBound>(activation_forward(f, setting.context(), Bytes{2}).what);
  EXPECT_EQ(moved, (MemoryBound{MemoryKernel::swiglu, Bytes{4 * values}, Bytes{2 * values}}));
  setting.model.activation = Activation::gelu;
  EXPECT_EQ(up_factor(setting.model), 1);
  moved = std::get<MemoryBound>(activation_forward(f, setting.context(), Bytes{2}).what);
  EXPECT_EQ(moved, (MemoryBound{MemoryKernel::gelu, Bytes{2 * values}, Bytes{2 * values}}));
  // Reads the input and the output's gradient, writes the input's gradient.
  moved = std::get<MemoryBound>(activation_backward(f, setting.context(), Bytes{}).what);
  EXPECT_EQ(moved, (MemoryBound{MemoryKernel::gelu_backward, Bytes{4 * values}, Bytes{2 * values}}));
}

TEST(FeedForward, BackwardRunsFromTheOutputToTheInput) {
  BlockSetting setting(dense_model(1));
  setting.plan.tensor_parallel = 2;
  setting.plan.sequence_parallel = true;
  setting.plan.recompute = {RecomputeModule::norm};
  const std::vector<std::string> order = labels(dense_feed_forward(setting.context()).backward);
  const std::vector<std::string> expected = {
      "ffn all-gather gradient",    "ffn down dgrad", "ffn activation backward",     "ffn norm again",
      "ffn all-gather input again", "ffn up dgrad",   "ffn reduce-scatter gradient", "ffn norm backward"};
  EXPECT_EQ(order, expected);
}

TEST(FeedForward, RunAgainAsAWholeItKeepsItsInputOnly) {
  BlockSetting setting(dense_model(1));
  setting.plan.tensor_parallel = 2;
  setting.plan.sequence_parallel = true;
  const Passes kept = dense_feed_forward(setting.context());
  EXPECT_TRUE(kept.recompute.empty());
  setting.plan.recompute = {RecomputeModule::mlp};
  const Passes p = dense_feed_forward(setting.context());
  EXPECT_DOUBLE_EQ(kept_per_token(setting), 4 * kH / 2);  // input and output of the norm
  EXPECT_EQ(labels(p.recompute), (std::vector<std::string>{"ffn all-gather again", "ffn up again", "ffn activation again", "ffn down again",
                                                           "ffn reduce-scatter again"}));
  EXPECT_DOUBLE_EQ(work<Gemm>(p.recompute), work<Gemm>(p.forward));
  EXPECT_EQ(labels(p.backward), labels(kept.backward));
  // The norm feeds the network, so it comes first where it runs again, too.
  setting.plan.recompute = {RecomputeModule::norm, RecomputeModule::mlp};
  EXPECT_EQ(labels(dense_feed_forward(setting.context()).recompute).front(), "ffn norm again");
  EXPECT_FALSE(has(dense_feed_forward(setting.context()).backward, "ffn norm again"));
  EXPECT_DOUBLE_EQ(kept_per_token(setting), 2 * kH / 2);
  // The activation is inside: there is nothing left for it to do.
  setting.plan.recompute = {RecomputeModule::mlp, RecomputeModule::activation};
  EXPECT_EQ(labels(dense_feed_forward(setting.context()).recompute), labels(p.recompute));
}

// Current scaling: a kernel that only reads, before each cast of a whole tensor; the activation then writes BF16, for the cast to read.
TEST(FeedForward, CurrentScalingSearchesEveryTensorBeforeItsCast) {
  BlockSetting setting(dense_model(1));
  setting.plan.precision = Precision::fp8;
  setting.fp8_type = DType::fp8;
  const auto kernels = [](const Operations& ops, MemoryKernel kernel) {
    std::vector<MemoryBound> all = of_type<MemoryBound>(ops);
    std::erase_if(all, [&](const MemoryBound& m) { return m.kernel != kernel; });
    return all;
  };
  const Block delayed = setting.block(BlockKind::dense_layer);
  EXPECT_TRUE(kernels(delayed.experts, MemoryKernel::gradient_norm).empty());
  setting.unfused = {UnfusedPart::maximum};
  const Block current = setting.block(BlockKind::dense_layer);
  for (const Operations* ops : {&current.experts, &current.experts_backward, &current.before_exchange, &current.before_exchange_backward}) {
    const auto casts = kernels(*ops, MemoryKernel::cast_fp8), maxima = kernels(*ops, MemoryKernel::gradient_norm);
    ASSERT_EQ(casts.size(), maxima.size());
    for (std::size_t i = 0; i < casts.size(); ++i) {
      EXPECT_EQ(casts[i].read, maxima[i].read);
      EXPECT_EQ(maxima[i].written, Bytes{});
    }
  }
  EXPECT_EQ(kernels(current.experts, MemoryKernel::cast_fp8).size(), kernels(delayed.experts, MemoryKernel::cast_fp8).size() + 1);
}

}  // namespace
}  // namespace trillion::feed_forward_test
