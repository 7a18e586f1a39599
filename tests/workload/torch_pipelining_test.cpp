// What torch.distributed.pipelining keeps, by hand: hidden states of 10 bytes, 8 micro-batches.
#include "sim/workload/torch_pipelining.h"

#include <gtest/gtest.h>

namespace trillion::torch_pipelining_test {
namespace {

constexpr Bytes kMessage{10};

// A product of 3 rows and 5 columns (30 bytes in BF16) and a norm that writes 6 bytes.
Block layer() {
  Block b;
  b.before_exchange.push_back({.label = "product", .what = Gemm{.m = 3, .n = 5, .k = 7}});
  b.before_exchange.push_back({.label = "norm", .what = MemoryBound{MemoryKernel::torch_rms_norm, Bytes{6}, Bytes{6}}});
  b.before_exchange.push_back({.label = "silu", .what = MemoryBound{MemoryKernel::torch_silu, Bytes{4}, Bytes{4}}});
  return b;
}

TEST(TorchPipelining, EveryMicroBatchHasItsBuffers) {
  EXPECT_EQ(pipelining_buffers({.blocks = {}, .first = true}, kMessage, 8), Bytes{80}) << "gradients of the output";
  EXPECT_EQ(pipelining_buffers({.blocks = {}, .last = true}, kMessage, 8), Bytes{80}) << "the input";
  EXPECT_EQ(pipelining_buffers({.blocks = {}}, kMessage, 8), Bytes{160});
  EXPECT_EQ(pipelining_buffers({.blocks = {}, .first = true, .last = true}, kMessage, 8), Bytes{});
}

TEST(TorchPipelining, OutputsStayAndInputsLieInTheirBuffers) {
  const Block b = layer();
  const auto beside = [&](PipelinedStage stage) {
    stage.blocks = {&b};
    return kept_by_pipelining(stage, kMessage, Framework::torch_eager).beside;
  };
  EXPECT_EQ(beside({.blocks = {}, .first = true}), kMessage);
  EXPECT_EQ(beside({.blocks = {}}), Bytes{}) << "its output, less its input";
  EXPECT_EQ(beside({.blocks = {}, .next_is_here = true}), Bytes{-10}) << "the output is the next stage's input";
}

TEST(TorchPipelining, TheLastStageKeepsItsLogitsInBf16) {
  Block head;
  head.saved = {{"log-probabilities", Bytes{400}}};
  EXPECT_EQ(kept_by_pipelining({.blocks = {&head}, .last = true}, kMessage, Framework::torch_eager).beside, Bytes{200 - 10});
  head.saved = {{"logits", Bytes{200}}};
  EXPECT_EQ(kept_by_pipelining({.blocks = {&head}, .last = true}, kMessage, Framework::torch_eager).beside, Bytes{-10})
      << "a compiled loss saves them itself";
}

TEST(TorchPipelining, ASplitPassKeepsWhereParametersBranchOff) {
  const Block b = layer();
  EXPECT_EQ(kept_by_pipelining({.blocks = {&b, &b}}, kMessage, Framework::torch_eager).split, Bytes{2 * (30 + 6)});
  EXPECT_EQ(kept_by_pipelining({.blocks = {&b, &b}}, kMessage, Framework::torch_compiled).split, Bytes{20});
  EXPECT_EQ(kept_by_pipelining({.blocks = {&b, &b}, .first = true}, kMessage, Framework::torch_eager).split, Bytes{})
      << "the first stage does all of it with the weight gradients";
}

}  // namespace
}  // namespace trillion::torch_pipelining_test
