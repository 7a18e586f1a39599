// A decoder layer and its ends as PyTorch runs them. The algebra:
//   products     one for each matrix and direction, so that forward, input and weight gradients do equal work
//   saved        x, normed x, q, k, v, o, x', normed x' and gate, silu(gate), up, product of a token: 12 h + 4 kv + 8 f bytes and the
//                rows' statistics; compiled code computes silu(gate) again
//   micro-batches  n of them add (n - 1) / n of a gradient each
//   compiled     the same products, fewer kernels between them
#include "sim/workload/torch.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/block_setting.h"

namespace trillion::torch_layer_test {
namespace {

using namespace testing_support;

BlockContext context(const BlockSetting& setting, Framework framework, std::int64_t micro_batches = 1) {
  BlockContext c = setting.context();
  c.framework = framework;
  c.micro_batches = micro_batches;
  return c;
}

BlockSetting setting(std::int64_t master_weight_bytes = 0) {
  BlockSetting s(dense_model(4));
  s.training.optimizer_state.master_weight_bytes = master_weight_bytes;
  return s;
}

Operations all(const Block& b) {
  Operations ops;
  for (const Operations* part : {&b.before_exchange, &b.experts, &b.recompute, &b.experts_backward, &b.before_exchange_backward,
                                 &b.experts_weight, &b.before_exchange_weight}) {
    ops.insert(ops.end(), part->begin(), part->end());
  }
  return ops;
}

std::size_t elementwise(const Block& b) { return of_type<MemoryBound>(all(b)).size(); }

double weights_bytes(const Model& m) {
  const double h = static_cast<double>(m.hidden_size), f = static_cast<double>(m.intermediate_size);
  const double kv = static_cast<double>(m.num_key_value_heads * m.head_dim);
  return 2 * (2 * h * h + 2 * h * kv + 3 * h * f);
}

// calibration/fit/figures.cpp divides the measured host time of a layer by these.
TEST(TorchLayer, ALayerIs23ProductsAnd78OtherCalls) {
  BlockSetting s = setting();
  s.model.num_key_value_heads = s.model.num_attention_heads;
  int products = 0, others = 0;
  for (const Operation& op : all(make_block(BlockKind::dense_layer, context(s, Framework::torch_eager)))) {
    (std::holds_alternative<MemoryBound>(op.what) ? others : products) += 1;
    others += op.host_calls;
  }
  EXPECT_EQ(products, 23);
  EXPECT_EQ(others, 78);
}

TEST(TorchLayer, AllDirectionsDoTheSameWork) {
  const BlockSetting s = setting();
  for (const Framework framework : {Framework::torch_eager, Framework::torch_compiled}) {
    const Block b = make_block(BlockKind::dense_layer, context(s, framework));
    const double forward = work<Gemm>(b.before_exchange) + work<Gemm>(b.experts);
    EXPECT_DOUBLE_EQ(work<Gemm>(b.experts_backward) + work<Gemm>(b.before_exchange_backward), forward);
    EXPECT_DOUBLE_EQ(work<Gemm>(b.experts_weight) + work<Gemm>(b.before_exchange_weight), forward);
    EXPECT_DOUBLE_EQ(forward, s.tokens() * weights_bytes(s.model));  // 2 FLOPs and 2 bytes for each weight
    EXPECT_EQ(of_type<Gemm>(b.before_exchange).size(), 4u);
    EXPECT_EQ(of_type<Gemm>(b.experts).size(), 3u);
    for (const Gemm& g : of_type<Gemm>(all(b))) EXPECT_FALSE(g.accumulate_fp32);
    EXPECT_EQ(of_type<Attention>(all(b)).size(), 2u);
  }
}

TEST(TorchLayer, SavesWhatAutogradNeeds) {
  const BlockSetting s = setting();
  const double h = 4096, f = 14336, kv = 1024, rows = 4 + 4 + 4 * 32;
  const Block eager = make_block(BlockKind::dense_layer, context(s, Framework::torch_eager));
  EXPECT_DOUBLE_EQ(total_bytes(eager.saved), s.tokens() * (12 * h + 4 * kv + 8 * f + rows));
  const Block compiled = make_block(BlockKind::dense_layer, context(s, Framework::torch_compiled));
  EXPECT_DOUBLE_EQ(total_bytes(compiled.saved), s.tokens() * (12 * h + 4 * kv + 6 * f + rows));
}

// The policy counts products before FP8 takes them apart. The last one's output is what the layer adds to its input: nobody reads it again.
TEST(TorchLayer, OfSelectiveCheckpointingEverySecondProductStays) {
  BlockSetting s = setting();
  s.plan.recompute = {RecomputeModule::products};
  const auto again = [&](Framework framework, Precision precision) {
    s.plan.precision = precision;
    return make_block(BlockKind::dense_layer, context(s, framework));
  };
  const Block eager = again(Framework::torch_eager, Precision::bf16), wide = again(Framework::torch_compiled, Precision::bf16),
              narrow = again(Framework::torch_compiled, Precision::fp8);
  for (const Block* b : {&eager, &wide, &narrow}) {
    EXPECT_EQ(of_type<Gemm>(b->recompute).size(), 3u) << "of seven";
    EXPECT_TRUE(of_type<Attention>(b->recompute).empty());
    EXPECT_TRUE(keeps(b->saved, "attention output"));
  }
  EXPECT_DOUBLE_EQ(total_bytes(narrow.saved), total_bytes(wide.saved));
  EXPECT_DOUBLE_EQ(total_bytes(eager.saved) - total_bytes(wide.saved), 2 * s.tokens() * 4096);
}

TEST(TorchLayer, CompiledCodeLaunchesAThirdOfTheElementwiseKernels) {
  const BlockSetting s = setting();
  const std::size_t eager = elementwise(make_block(BlockKind::dense_layer, context(s, Framework::torch_eager)));
  const std::size_t compiled = elementwise(make_block(BlockKind::dense_layer, context(s, Framework::torch_compiled)));
  EXPECT_GE(eager, 35u);
  EXPECT_LE(3 * compiled, eager + 1);
}

TEST(TorchLayer, FurtherMicroBatchesAddTheirGradients) {
  const BlockSetting s = setting();
  const auto accumulated = [&](std::int64_t micro_batches) {
    double bytes = 0;
    for (const MemoryBound& m :
         of_type<MemoryBound>(all(make_block(BlockKind::dense_layer, context(s, Framework::torch_eager, micro_batches))))) {
      if (m.kernel == MemoryKernel::torch_accumulate) bytes += m.written.value();
    }
    return bytes;
  };
  EXPECT_DOUBLE_EQ(accumulated(1), 0);
  EXPECT_DOUBLE_EQ(accumulated(4), 0.75 * weights_bytes(s.model));
}

TEST(TorchLayer, AutocastCastsEveryWeightThereAndBack) {
  const BlockSetting s = setting(4);
  const Block b = make_block(BlockKind::dense_layer, context(s, Framework::torch_eager));
  double there = 0, back = 0;
  for (const Operation& op : all(b)) {
    const auto* m = std::get_if<MemoryBound>(&op.what);
    if (m == nullptr) continue;
    if (op.label.find("cast weight") != std::string::npos) there += m->written.value();
    if (op.label.ends_with("cast gradient")) back += m->read.value();
  }
  EXPECT_DOUBLE_EQ(there, weights_bytes(s.model));
  EXPECT_DOUBLE_EQ(back, weights_bytes(s.model));
}

// torch.utils.checkpoint stops before the last product, whose output nothing saved.
TEST(TorchLayer, RecomputationStopsBeforeTheLastProduct) {
  BlockSetting s = setting();
  s.plan.recompute = {RecomputeModule::layer};
  const Block b = make_block(BlockKind::dense_layer, context(s, Framework::torch_eager));
  EXPECT_EQ(of_type<Gemm>(b.recompute).size(), 6u);
  EXPECT_DOUBLE_EQ(total_bytes(b.saved), s.tokens() * 2 * 4096);
}

// q, v, gate and down stay, as does attention; k, o and up run again, and every elementwise kernel that they need.
TEST(TorchLayer, BetweenProductsEverySecondOneRunsAgain) {
  BlockSetting s = setting();
  s.plan.recompute = {RecomputeModule::products};
  const Block b = make_block(BlockKind::dense_layer, context(s, Framework::torch_eager));
  std::vector<std::string> again;
  for (const Operation& op : b.recompute) {
    if (std::holds_alternative<Gemm>(op.what)) again.push_back(op.label);
  }
  EXPECT_EQ(again, (std::vector<std::string>{"k again", "o projection again", "ffn up again"}));
  EXPECT_TRUE(of_type<Attention>(b.recompute).empty());
  const double h = 4096, f = static_cast<double>(s.model.intermediate_size), heads = static_cast<double>(s.model.num_attention_heads);
  const double kv = static_cast<double>(s.model.num_key_value_heads * s.model.head_dim);
  // The layer's input; q, v, gate and down; attention's output and its row sums.
  EXPECT_DOUBLE_EQ(total_bytes(b.saved), s.tokens() * (2 * h + 2 * (h + kv + f + h) + 2 * h + 4 * heads));
}

// Whoever compiles a checkpointed mixture runs it eagerly, and keeping products costs the host more than running all again.
TEST(TorchLayer, CheckpointingCostsTheHost) {
  const auto calls = [](std::vector<RecomputeModule> recompute, Framework framework) {
    BlockSetting s = setting();
    s.plan.recompute = std::move(recompute);
    int sum = 0;
    for (const Operation& op : all(make_block(BlockKind::dense_layer, context(s, framework)))) sum += op.host_calls;
    return sum;
  };
  EXPECT_LT(calls({}, Framework::torch_eager), calls({RecomputeModule::layer}, Framework::torch_eager));
  EXPECT_LT(calls({RecomputeModule::layer}, Framework::torch_eager), calls({RecomputeModule::products}, Framework::torch_eager));
  EXPECT_EQ(calls({RecomputeModule::layer}, Framework::torch_compiled), 0);
}

// A broadcast factor, halves of heads and a norm's weight gradient have kernels of their own; biases are sums over tokens.
TEST(TorchLayer, KernelsOfTheirOwn) {
  BlockSetting s = setting();
  const auto bytes = [&](Framework framework, MemoryKernel kernel) {
    double sum = 0;
    for (const MemoryBound& m : of_type<MemoryBound>(all(make_block(BlockKind::dense_layer, context(s, framework))))) {
      if (m.kernel == kernel) sum += m.read.value();
    }
    return sum;
  };
  const double rotated = s.tokens() * static_cast<double>((s.model.num_attention_heads + s.model.num_key_value_heads) * s.model.head_dim);
  EXPECT_DOUBLE_EQ(bytes(Framework::torch_eager, MemoryKernel::torch_mul_broadcast), 2 * 2 * 2 * rotated);  // two factors, both ways
  EXPECT_DOUBLE_EQ(bytes(Framework::torch_eager, MemoryKernel::torch_neg_half), 2 * rotated);
  EXPECT_DOUBLE_EQ(bytes(Framework::torch_eager, MemoryKernel::torch_rms_norm_weights), 2 * 4 * s.tokens() * 4096);
  EXPECT_DOUBLE_EQ(bytes(Framework::torch_compiled, MemoryKernel::torch_mul_broadcast), 0);
  EXPECT_DOUBLE_EQ(bytes(Framework::torch_eager, MemoryKernel::column_sum), 0);
  s.model.mlp_bias = true;
  const double h = 4096, f = static_cast<double>(s.model.intermediate_size);
  EXPECT_DOUBLE_EQ(bytes(Framework::torch_eager, MemoryKernel::column_sum), 2 * s.tokens() * (2 * f + h));
}

TEST(TorchLayer, CompiledCodeRunsInFp8) {
  BlockSetting s = setting();
  s.plan.precision = Precision::fp8;
  s.fp8_type = DType::fp8;
  const Block b = make_block(BlockKind::dense_layer, context(s, Framework::torch_compiled));
  for (const Operations* ops : {&b.before_exchange, &b.experts_backward, &b.experts_weight}) {
    for (const Gemm& g : of_type<Gemm>(*ops)) EXPECT_EQ(g.dtype, DType::fp8);
    EXPECT_GT(count(*ops, Category::cast_and_quantize), 0u);
  }
}

TEST(TorchLayer, TheLossIsInFp32UnlessCompiled) {
  BlockSetting s = setting();
  s.model.vocab_size = 32000;
  const double logits = s.tokens() * 32000;
  const Block eager = make_block(BlockKind::head, context(s, Framework::torch_eager));
  EXPECT_DOUBLE_EQ(named(eager.before_exchange, "cross entropy").label.empty() ? 0 : eager.transient.value(), 8 * logits);
  EXPECT_TRUE(keeps(eager.saved, "log-probabilities"));
  const Block compiled = make_block(BlockKind::head, context(s, Framework::torch_compiled));
  EXPECT_TRUE(keeps(compiled.saved, "logits"));
  EXPECT_FALSE(has(compiled.before_exchange, "logits to FP32"));
}

// A graph breaks where values decide, and at fully_shard's hooks: then the loss is not in it.
TEST(TorchLayer, WhatIsOneGraph) {
  BlockSetting dense = setting(), routed(shipped_model("qwen3-30b-a3b"));
  EXPECT_TRUE(is_one_graph(context(dense, Framework::torch_compiled)));
  EXPECT_FALSE(is_one_graph(context(dense, Framework::torch_eager)));
  EXPECT_FALSE(is_one_graph(context(routed, Framework::torch_compiled)));
  EXPECT_TRUE(has(make_block(BlockKind::head, context(routed, Framework::torch_compiled)).before_exchange, "logits to FP32"));
  dense.plan.sharding = Sharding::zero_3;
  EXPECT_FALSE(is_one_graph(context(dense, Framework::torch_compiled)));
  EXPECT_TRUE(is_loss_compiled(context(dense, Framework::torch_compiled)));
  dense.plan.sharding = Sharding::none;
  dense.unfused = {UnfusedPart::cross_entropy};
  EXPECT_FALSE(is_one_graph(context(dense, Framework::torch_compiled)));
}

TEST(TorchLayer, ATiedTableAddsTheHeadsGradient) {
  BlockSetting s = setting();
  EXPECT_FALSE(has(make_block(BlockKind::embedding, context(s, Framework::torch_eager)).before_exchange_weight, "embedding accumulate"));
  s.model.tie_word_embeddings = true;
  EXPECT_TRUE(has(make_block(BlockKind::embedding, context(s, Framework::torch_eager)).before_exchange_weight, "embedding accumulate"));
}

// With sequence parallelism gradients of what several products read are added up over all tokens, before the ranks' shares part.
TEST(TorchLayer, GradientsMeetBeforeTheyAreScattered) {
  for (const Framework framework : {Framework::torch_eager, Framework::torch_compiled}) {
    BlockSetting s = setting();
    s.plan.tensor_parallel = 4;
    s.plan.sequence_parallel = true;
    const Block b = make_block(BlockKind::dense_layer, context(s, framework));
    const Operations& ops = b.before_exchange_backward;
    const auto scatter = std::find_if(ops.begin(), ops.end(), [](const Operation& op) {
      const auto* c = std::get_if<Collective>(&op.what);
      return c != nullptr && c->kind == CollectiveKind::reduce_scatter;
    });
    ASSERT_NE(scatter, ops.end());
    ASSERT_NE(scatter, ops.begin());
    const Operation& sum = *(scatter - 1);
    EXPECT_EQ(sum.label, "attention add gradients");
    EXPECT_DOUBLE_EQ(std::get<MemoryBound>(sum.what).written.value(), 2 * s.tokens() * static_cast<double>(s.model.hidden_size));
  }
}

}  // namespace
}  // namespace trillion::torch_layer_test
