// What a model writes out moves more bytes than the kernel that it could have called:
//   norm       forward 36 bytes a value and backward 92, where x stays BF16; nothing is cast where the residual is FP32
//   rotation   forward and backward alike; under torch.compile too, since complex numbers are not compiled
//   heads      what is written once is read once going back: copies x values each way
#include "sim/workload/torch_written_out.h"

#include <gtest/gtest.h>

#include "tests/support/block_setting.h"

namespace trillion::torch_written_out_test {
namespace {

using namespace testing_support;

double bytes(const Operations& ops) {
  double sum = 0;
  for (const MemoryBound& m : of_type<MemoryBound>(ops)) sum += (m.read + m.written).value();
  return sum;
}

BlockContext context(const BlockSetting& setting, Framework framework, std::vector<UnfusedPart> unfused = {}) {
  BlockContext c = setting.context();
  c.framework = framework;
  c.unfused = std::move(unfused);
  return c;
}

TEST(TorchWrittenOut, ANormMovesWhatItsKernelsRead) {
  BlockSetting setting(dense_model(4));
  setting.training.optimizer_state.master_weight_bytes = 0;
  const TorchSizes t(context(setting, Framework::torch_eager));
  ASSERT_EQ(t.wide, 2);
  const double row = 8 * setting.tokens();
  EXPECT_DOUBLE_EQ(bytes(written_out_norm(t, "norm")), 36 * t.residual + 2 * row);
  EXPECT_DOUBLE_EQ(bytes(written_out_norm_backward(t, "norm")), 92 * t.residual + 3 * row);
}

TEST(TorchWrittenOut, NothingIsCastWhereTheResidualIsWide) {
  BlockSetting setting(dense_model(4));
  setting.training.optimizer_state.master_weight_bytes = 4;
  const TorchSizes t(context(setting, Framework::torch_eager));
  ASSERT_EQ(t.wide, 4);
  for (const Operations& ops : {written_out_norm(t, "norm"), written_out_norm_backward(t, "norm")}) {
    for (const Operation& op : ops) EXPECT_FALSE(op.label.ends_with("to FP32") || op.label.ends_with("to BF16")) << op.label;
  }
}

TEST(TorchWrittenOut, OnlyEagerCodeRunsANormPieceByPiece) {
  BlockSetting setting(dense_model(4));
  setting.training.optimizer_state.master_weight_bytes = 0;
  const auto layer = [&](Framework f, std::vector<UnfusedPart> unfused) {
    return make_block(BlockKind::dense_layer, context(setting, f, std::move(unfused)));
  };
  const Block eager = layer(Framework::torch_eager, {UnfusedPart::rms_norm}), usual = layer(Framework::torch_eager, {});
  EXPECT_TRUE(has(eager.before_exchange, "attention norm square"));
  EXPECT_TRUE(has(eager.before_exchange_backward, "attention norm square backward"));
  // The input in FP32 and what the weight multiplies, for each of two norms.
  const double h = static_cast<double>(setting.model.hidden_size);
  EXPECT_DOUBLE_EQ(total_bytes(eager.saved) - total_bytes(usual.saved), 2 * setting.tokens() * h * (2 + 2));
  const Block compiled = layer(Framework::torch_compiled, {UnfusedPart::rms_norm});
  EXPECT_EQ(labels(compiled.before_exchange), labels(layer(Framework::torch_compiled, {}).before_exchange));
}

TEST(TorchWrittenOut, ComplexNumbersRotateInEveryFramework) {
  const BlockSetting setting(dense_model(4));
  for (const Framework f : {Framework::torch_eager, Framework::torch_compiled}) {
    const Block b = make_block(BlockKind::dense_layer, context(setting, f, {UnfusedPart::rotation}));
    EXPECT_TRUE(has(b.before_exchange, "rotary q times frequencies"));
    EXPECT_TRUE(has(b.before_exchange_backward, "rotary k backward times frequencies"));
    EXPECT_FALSE(has(b.before_exchange, "rotary q swap halves"));
  }
}

TEST(TorchWrittenOut, RepeatedHeadsMakeEveryHeadItsOwn) {
  const BlockSetting setting(dense_model(4));
  const Model& m = setting.model;
  ASSERT_LT(m.num_key_value_heads, m.num_attention_heads);
  const Block b = make_block(BlockKind::dense_layer, context(setting, Framework::torch_compiled, {UnfusedPart::repeated_heads}));
  for (const Attention& a : of_type<Attention>(b.before_exchange)) EXPECT_EQ(a.kv_heads, m.num_attention_heads);
  const double q = setting.tokens() * static_cast<double>(m.num_attention_heads * m.head_dim);
  const double kv = setting.tokens() * static_cast<double>(m.num_key_value_heads * m.head_dim);
  const auto forward = std::get<MemoryBound>(named(b.before_exchange, "keys repeat heads").what);
  const auto backward = std::get<MemoryBound>(named(b.before_exchange_backward, "values sum over heads").what);
  EXPECT_DOUBLE_EQ(forward.read.value(), 2 * kv);
  EXPECT_DOUBLE_EQ(forward.written.value(), 2 * q);
  EXPECT_EQ(backward.read, forward.written);
  EXPECT_EQ(backward.written, forward.read);
  EXPECT_TRUE(keeps(b.saved, "queries, keys, values"));
}

}  // namespace
}  // namespace trillion::torch_written_out_test
