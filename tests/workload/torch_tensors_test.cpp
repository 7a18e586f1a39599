// The tensors of a block, forward and backward. The algebra:
//   what is taken is dropped by the end of the backward pass, the output by whoever reads it, the input's gradient likewise
//   what is there after the forward pass is what Block::saved counts
//   recomputation keeps less and takes more
//   of a tied table in one graph the head leaves its product's operands
#include "sim/workload/torch_tensors.h"

#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "sim/workload/passes.h"
#include "tests/support/block_setting.h"

namespace trillion::torch_tensors_test {
namespace {

using namespace testing_support;
using Kind = TensorTape::Event::Kind;

std::set<TensorTape::Tensor> alive_after(const BlockTensors& b, bool backward) {
  std::set<TensorTape::Tensor> alive{TensorTape::kInput};
  if (backward) alive.insert(TensorTape::kOutputGradient);
  const auto play = [&](const TensorTape::Events& events) {
    for (const TensorTape::Event& event : events) {
      if (event.kind == Kind::take) {
        EXPECT_TRUE(alive.insert(event.tensor).second) << "taken twice: " << event.tensor;
      } else if (event.kind == Kind::drop) {
        EXPECT_EQ(alive.erase(event.tensor), 1u) << "not there: " << event.tensor;
      }
    }
  };
  play(b.forward);
  if (backward) play(b.backward);
  return alive;
}

class EveryRecomputation : public testing::TestWithParam<std::tuple<Framework, std::vector<RecomputeModule>>> {};

TEST_P(EveryRecomputation, LeavesNothingBehind) {
  BlockSetting s(dense_model(1));
  s.plan.recompute = std::get<1>(GetParam());
  for (const BlockKind kind : {BlockKind::embedding, BlockKind::dense_layer, BlockKind::head}) {
    const BlockTensors b = torch_tensors(kind, torch_context(s, std::get<0>(GetParam())), 1);
    std::set<TensorTape::Tensor> left = alive_after(b, true);
    left.erase(b.output);
    left.erase(b.input_gradient);
    EXPECT_TRUE(left.empty()) << "block " << static_cast<int>(kind) << ": " << left.size() << " tensors, the first " << *left.begin();
  }
}

INSTANTIATE_TEST_SUITE_P(TorchTensors, EveryRecomputation,
                         testing::Combine(testing::Values(Framework::torch_eager, Framework::torch_compiled),
                                          testing::Values(std::vector<RecomputeModule>{}, std::vector{RecomputeModule::layer},
                                                          std::vector{RecomputeModule::products})));

double bytes_taken(const TensorTape::Events& events, const std::set<TensorTape::Tensor>& of) {
  double sum = 0;
  for (const TensorTape::Event& event : events) {
    if (event.kind == Kind::take && of.contains(event.tensor)) sum += static_cast<double>(event.bytes);
  }
  return sum;
}

// Beside the block's output, which is the next one's; its own input comes from the one before.
double kept(const BlockTensors& b) {
  std::set<TensorTape::Tensor> alive = alive_after(b, false);
  alive.erase(b.output);
  return bytes_taken(b.forward, alive);
}

TEST(TorchTensors, WhatIsSavedIsThereAfterTheForwardPass) {
  BlockSetting s(dense_model(1));
  for (const Framework framework : {Framework::torch_eager, Framework::torch_compiled}) {
    const BlockContext c = torch_context(s, framework);
    const double input = 2 * s.tokens() * static_cast<double>(s.model.hidden_size);
    const double saved = saved_bytes(make_block(BlockKind::dense_layer, c), s.routing).value();
    EXPECT_NEAR(kept(torch_tensors(BlockKind::dense_layer, c, 1)) + input, saved, 0.01 * saved);
  }
}

TEST(TorchTensors, SoItIsOfTheHeadAndOfRoutedLayers) {
  BlockSetting dense(dense_model(1)), routed(shipped_model("qwen3-30b-a3b"));
  for (const Framework framework : {Framework::torch_eager, Framework::torch_compiled}) {
    const BlockContext d = torch_context(dense, framework), r = torch_context(routed, framework);
    for (const auto& [kind, c] : {std::pair{BlockKind::head, &d}, std::pair{BlockKind::moe_layer, &r}}) {
      const double input = Sizes(*c).residual().value();
      const double saved = saved_bytes(make_block(kind, *c), routed.routing).value();
      EXPECT_NEAR(kept(torch_tensors(kind, *c, 1)) + input, saved, 0.01 * saved) << static_cast<int>(kind);
    }
  }
}

// Rows are added up in FP32, then cast; a tied table's gradient is one kernel's with the head's, whose operands wait for it.
TEST(TorchTensors, TheEndsOfOneGraph) {
  BlockSetting s(dense_model(1));
  for (const bool tied : {false, true}) {
    s.model.tie_word_embeddings = tied;
    s.model.vocab_size = 128256;
    const BlockContext c = torch_context(s, Framework::torch_compiled);
    const double table = static_cast<double>(s.model.vocab_size * s.model.hidden_size), message = Sizes(c).residual().value();
    const double logits = 2 * s.tokens() * static_cast<double>(s.model.vocab_size);
    const BackwardBytes first = backward_bytes(torch_tensors(BlockKind::embedding, c, 1), 0, message);
    EXPECT_NEAR(first.largest, std::max(message + 4 * table, 6 * table), 8);
    EXPECT_EQ(first.left, 0);
    const BackwardBytes last = backward_bytes(torch_tensors(BlockKind::head, c, 1), message, 0);
    EXPECT_NEAR(last.left, tied ? logits + message : 0, 8);
    EXPECT_NEAR(last.largest, tied ? 2 * message : 2 * table, 0.1 * message) << "the logits' gradient lies where they were";
  }
}

// Under autocast the table is FP32, and so is what its rows are added up in: that is its gradient.
TEST(TorchTensors, AnFp32TablesGradientIsNotCast) {
  BlockSetting s(dense_model(1));
  s.model.vocab_size = 128256;
  s.training.optimizer_state = {4, 4, 4, 4};
  BlockContext c = s.context();
  c.framework = Framework::torch_compiled;
  const double table = static_cast<double>(s.model.vocab_size * s.model.hidden_size), message = 2 * Sizes(c).residual().value();
  EXPECT_NEAR(backward_bytes(torch_tensors(BlockKind::embedding, c, 1), 0, message).largest, message + 4 * table, 8);
}

TEST(TorchTensors, RecomputationKeepsLessAndTakesMore) {
  BlockSetting s(dense_model(1));
  const auto layer = [&](std::vector<RecomputeModule> recompute) {
    s.plan.recompute = std::move(recompute);
    return torch_tensors(BlockKind::dense_layer, torch_context(s), 1);
  };
  const BlockTensors nothing = layer({}), products = layer({RecomputeModule::products}), all = layer({RecomputeModule::layer});
  EXPECT_EQ(kept(all), 0) << "but the input";
  EXPECT_LT(kept(products), kept(nothing));
  EXPECT_GT(products.backward.size(), nothing.backward.size());
  EXPECT_GT(all.backward.size(), products.backward.size());
}

}  // namespace
}  // namespace trillion::torch_tensors_test
