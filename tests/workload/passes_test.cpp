// What all modules share. The algebra:
//   tokens     b s / cp inside the layers; sequence parallelism splits the residual stream over the tensor-parallel group
//   norm       keeps its input, and its output unless that is computed again: then the backward pass has one kernel more
//   tensor     all-gather + reduce-scatter (sequence parallel) carry what one all-reduce does; each pass mirrors the other
#include "sim/workload/passes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "sim/workload/kind_table.h"
#include "tests/support/block_setting.h"

namespace trillion::passes_test {
namespace {

using namespace testing_support;
using testing::ElementsAre;

TEST(Passes, TokensAreSplitByContextAndTheResidualBySequenceParallelism) {
  Plan plan;
  plan.micro_batch_size = 2;
  plan.context_parallel = 4;
  plan.tensor_parallel = 8;
  BlockSetting setting(dense_model(1), plan);
  EXPECT_EQ(Sizes(setting.context()).tokens, 2 * 4096 / 4);
  EXPECT_EQ(Sizes(setting.context()).residual_tokens, 2 * 4096 / 4);
  setting.plan.sequence_parallel = true;
  EXPECT_EQ(Sizes(setting.context()).tokens, 2 * 4096 / 4);
  EXPECT_EQ(Sizes(setting.context()).residual_tokens, 2 * 4096 / 4 / 8);
  EXPECT_EQ(Sizes(setting.context()).residual(), Bytes{2.0 * 4096 * 2 * 4096 / 4 / 8});
  EXPECT_EQ(Sizes(setting.context()).bf16(3), Bytes{2.0 * 3 * 2 * 4096 / 4});
}

TEST(Passes, PrecisionIsTheStacksWordForFP8) {
  BlockSetting setting(dense_model(1));
  EXPECT_EQ(Sizes(setting.context()).linear_type, DType::bf16);
  setting.plan.precision = Precision::fp8;
  EXPECT_EQ(Sizes(setting.context()).linear_type, DType::fp8_block);
  setting.fp8_type = DType::fp8;
  EXPECT_EQ(Sizes(setting.context()).linear_type, DType::fp8);
}

TEST(Passes, ANormKeepsItsInputAndItsOutput) {
  const BlockSetting setting(dense_model(1));
  Passes p;
  add_norm(p, setting.context(), "norm");
  EXPECT_THAT(labels(p.forward), ElementsAre("norm"));
  EXPECT_THAT(labels(p.backward), ElementsAre("norm backward"));
  EXPECT_EQ(total_bytes(p.saved), 2 * 2.0 * 4096 * 4096);
}

TEST(Passes, ANormThatIsComputedAgainDropsItsOutput) {
  BlockSetting setting(dense_model(1));
  setting.plan.recompute = {RecomputeModule::norm};
  Passes p;
  add_norm(p, setting.context(), "norm");
  EXPECT_THAT(labels(p.backward), ElementsAre("norm again", "norm backward"));
  EXPECT_EQ(p.backward.front().category, Category::recompute);
  EXPECT_EQ(p.backward.front().what, p.forward.front().what);
  EXPECT_EQ(total_bytes(p.saved), 2.0 * 4096 * 4096);
}

TEST(Passes, ANormJoinedWithTheResidualMovesBothStreams) {
  const BlockSetting setting(dense_model(1));
  Passes joined;
  add_norm(joined, setting.context(), "norm", true);
  EXPECT_THAT(labels(joined.forward), ElementsAre("residual and norm"));
  EXPECT_EQ(of_type<MemoryBound>(joined.forward).front().read, Bytes{2 * 2.0 * 4096 * 4096});
}

TEST(Passes, TheModelSaysWhichNorm) {
  BlockSetting setting(dense_model(1));
  setting.model.normalisation = Normalisation::layer_norm;
  Passes p;
  add_norm(p, setting.context(), "norm");
  EXPECT_EQ(of_type<MemoryBound>(p.forward).front().kernel, MemoryKernel::layer_norm);
  EXPECT_EQ(of_type<MemoryBound>(p.backward).front().kernel, MemoryKernel::layer_norm_backward);
}

Passes entry_and_exit(const BlockSetting& setting, DType products = DType::bf16) {
  Passes p;
  const EntryBackward entry = add_tensor_entry(p, setting.context(), "ffn", products);
  p.backward.insert(p.backward.end(), entry.before.begin(), entry.before.end());
  p.backward.insert(p.backward.end(), entry.after.begin(), entry.after.end());
  add_tensor_exit(p, setting.context(), "ffn", products);
  return p;
}

double wire(const Operations& ops) {
  double sum = 0;
  for (const Collective& c : of_type<Collective>(ops)) sum += (wire_bytes(c).nvlink + wire_bytes(c).nic).value();
  return sum;
}

TEST(Passes, OneTensorParallelRankTalksToNobody) {
  const Passes p = entry_and_exit(BlockSetting(dense_model(1)));
  EXPECT_TRUE(p.forward.empty());
  EXPECT_TRUE(p.backward.empty());
}

TEST(Passes, TensorParallelismReducesOnceAPass) {
  BlockSetting setting(dense_model(1));
  setting.plan.tensor_parallel = 4;
  const Passes plain = entry_and_exit(setting);
  EXPECT_THAT(labels(plain.forward), ElementsAre("ffn all-reduce"));
  EXPECT_THAT(labels(plain.backward), ElementsAre("ffn all-reduce gradient"));
  setting.plan.sequence_parallel = true;
  const Passes split = entry_and_exit(setting);
  EXPECT_THAT(labels(split.forward), ElementsAre("ffn all-gather", "ffn reduce-scatter"));
  EXPECT_THAT(labels(split.backward), ElementsAre("ffn all-gather gradient", "ffn all-gather input again", "ffn reduce-scatter gradient"));
  EXPECT_DOUBLE_EQ(wire(split.forward), wire(plain.forward));
  EXPECT_DOUBLE_EQ(wire(split.backward), 1.5 * wire(plain.backward));  // a shard of the input is kept, and gathered again
  for (const Operation& op : split.forward) EXPECT_EQ(op.lane, Lane::tensor);
}

TEST(Passes, WhatFp8ProductsReadIsGatheredInFp8AndSumsAreNot) {
  BlockSetting setting(dense_model(1));
  setting.plan.tensor_parallel = 4;
  setting.plan.sequence_parallel = true;
  const Passes wide = entry_and_exit(setting), narrow = entry_and_exit(setting, DType::fp8);
  for (const auto& [before, after] : {std::pair{&wide.forward, &narrow.forward}, std::pair{&wide.backward, &narrow.backward}}) {
    const auto collectives = of_type<Collective>(*before), fewer = of_type<Collective>(*after);
    ASSERT_EQ(collectives.size(), fewer.size());
    for (std::size_t i = 0; i < fewer.size(); ++i) {
      const double share = fewer[i].kind == CollectiveKind::all_gather ? 0.5 : 1;
      EXPECT_DOUBLE_EQ(fewer[i].bytes.value(), share * collectives[i].bytes.value());
    }
  }
}

TEST(Passes, GatheredSequencesAreCopiedWhereTheyAreNotTheFirstDimension) {
  BlockSetting setting(dense_model(1));
  setting.plan.tensor_parallel = 4;
  setting.plan.sequence_parallel = true;
  setting.plan.tensor_parallel_overlap = TensorOverlap::none;
  setting.unfused = {UnfusedPart::sequence_copies};
  EXPECT_THAT(labels(entry_and_exit(setting).forward), ElementsAre("ffn all-gather", "ffn reduce-scatter copy", "ffn reduce-scatter"))
      << "pieces of one sequence arrive in order";
  setting.plan.micro_batch_size = 2;
  const Passes p = entry_and_exit(setting);
  EXPECT_THAT(labels(p.forward), ElementsAre("ffn all-gather", "ffn all-gather copy", "ffn reduce-scatter copy", "ffn reduce-scatter"));
  for (std::size_t i = 0; i < p.forward.size(); ++i) {
    const auto* copy = std::get_if<MemoryBound>(&p.forward[i].what);
    if (copy == nullptr) continue;
    EXPECT_EQ(copy->read, std::get<Collective>(p.forward[i == 1 ? 0 : 3].what).bytes);
    EXPECT_EQ(copy->written, copy->read);
  }
  setting.plan.tensor_parallel_overlap = TensorOverlap::pipelined;
  EXPECT_THAT(labels(entry_and_exit(setting).forward), ElementsAre("ffn all-gather", "ffn reduce-scatter")) << "pieces lie where they are";
}

TEST(Passes, CollectivesOfTheBackwardPassRunBesideProductsUnlessToldNotTo) {
  BlockSetting setting(dense_model(1));
  setting.plan.tensor_parallel = 4;
  setting.plan.sequence_parallel = true;
  for (const auto& [overlap, before, after, norm] : {std::tuple{TensorOverlap::none, Order::chain, Order::chain, Order::chain},
                                                     {TensorOverlap::bulk, Order::ahead, Order::before_weights, Order::meets_all},
                                                     {TensorOverlap::pipelined, Order::ahead, Order::before_weights, Order::meets_all}}) {
    setting.plan.tensor_parallel_overlap = overlap;
    Passes p;
    add_norm(p, setting.context(), "norm");
    const EntryBackward entry = add_tensor_entry(p, setting.context(), "ffn", DType::bf16);
    EXPECT_EQ(entry.before.front().order, before);
    EXPECT_EQ(entry.after.front().order, after);
    EXPECT_EQ(p.backward.back().order, norm);
  }
}

// PyTorch cuts collectives in pieces or leaves them alone, and a whole one along the second dimension is copied.
TEST(Passes, AsynchronousTensorParallelismOfPyTorchReducesASumAlone) {
  BlockSetting setting(dense_model(1));
  setting.plan.tensor_parallel = 4;
  setting.plan.sequence_parallel = true;
  setting.plan.tensor_parallel_overlap = TensorOverlap::pipelined;
  setting.unfused = {UnfusedPart::sequence_copies};
  BlockContext context = setting.context();
  context.framework = Framework::torch_compiled;
  Passes p;
  const EntryBackward entry = add_tensor_entry(p, context, "ffn", DType::bf16);
  EXPECT_THAT(labels(entry.after), ElementsAre("ffn reduce-scatter gradient copy", "ffn reduce-scatter gradient"));
  for (const Operation& op : entry.after) EXPECT_EQ(op.order, Order::chain);
}

TEST(Passes, AgainIsTheSameWorkUnderAnotherName) {
  const Operation op = memory_operation("norm", Category::norm_and_elementwise, MemoryKernel::rms_norm, Bytes{2}, Bytes{1});
  EXPECT_EQ(again(op).label, "norm again");
  EXPECT_EQ(again(op).category, Category::recompute);
  EXPECT_EQ(again(op).what, op.what);
  Operation sent = op;
  sent.category = Category::tensor_parallel;
  EXPECT_EQ(again(Operations{op, sent}).back().category, Category::tensor_parallel);
}

}  // namespace
}  // namespace trillion::passes_test
