// The end of a step. The algebra, for P parameters replicated over a group of d:
//   reduce    none: all-reduce, ZeRO: reduce-scatter, of gradient_reduce_bytes P; nothing where d = 1 or P = 0
//   gather    2 P bytes in BF16; none without sharding, where every rank updates everything
//   copies    of PyTorch with sharded parameters: BF16 in and out of a gather, into the type of the reduction; nothing else has them
//   shard     the shards of all members add up to P; without sharding each holds P
//   update    reads gradient, master weight and two moments of the shard; writes the last three and the BF16 copy
#include "sim/workload/step_end.h"

#include <gtest/gtest.h>

#include "tests/support/laid_out_step.h"
#include "tests/support/linear_machine.h"

namespace trillion::step_end_test {
namespace {

using namespace testing_support;

const GradientGroups kGroups{{16, 1, 8}, {4, 8, 1}};
constexpr BlockParameters kParameters{1e6, 3e6};

Plan sharded(Sharding sharding) {
  Plan plan;
  plan.sharding = sharding;
  return plan;
}

const Collective& collective(const std::optional<Operation>& op) { return std::get<Collective>(op->what); }

TEST(StepEnd, ASecondCopyOfEveryStageDoublesTheGroups) {
  Plan plan;
  plan.pipeline_parallel = 4;
  plan.expert_parallel = 8;
  const DeviceMesh mesh(plan, linear_cluster(16));
  const GradientGroups one = gradient_groups(mesh, 1, plan), two = gradient_groups(mesh, 2, plan);
  EXPECT_EQ(one.dense.size, 32);
  EXPECT_EQ(one.expert.size, 4);
  EXPECT_EQ(two.dense.size, 64);
  EXPECT_EQ(two.expert.size, 8);
  EXPECT_EQ(two.dense.ranks_per_node, one.dense.ranks_per_node);  // the other copy lives on other nodes
}

TEST(StepEnd, OnlyShardedPyTorchCopiesWhatItGathersAndReduces) {
  Scenario s = linear_pipeline(ScheduleKind::one_f_one_b, 1);
  s.plan.sharding = Sharding::zero_3;
  s.calibration.stack.framework.value = Framework::torch_compiled;
  for (const std::int64_t reduced : {2, 4}) {
    s.training.optimizer_state.gradient_reduce_bytes = reduced;
    const ShardCopies copies = shard_copies(kParameters, kGroups, s);
    EXPECT_EQ(std::get<MemoryBound>(copies.gathered->what).read, Bytes{2 * 4e6});
    EXPECT_EQ(std::get<MemoryBound>(copies.gathered->what).written, Bytes{2 * 4e6});
    EXPECT_EQ(std::get<MemoryBound>(copies.reduced->what).read, Bytes{2 * 4e6});
    EXPECT_EQ(std::get<MemoryBound>(copies.reduced->what).written, Bytes{static_cast<double>(reduced) * 4e6});
  }
  GradientGroups experts_alone = kGroups;
  experts_alone.expert.size = 1;
  EXPECT_EQ(std::get<MemoryBound>(shard_copies(kParameters, experts_alone, s).gathered->what).read, Bytes{2 * 1e6});
  Scenario fused = s, whole = s;
  fused.calibration.stack.framework.value = Framework::fused;
  whole.plan.sharding = Sharding::zero_2;
  for (const Scenario& other : {fused, whole}) {
    EXPECT_FALSE(shard_copies(kParameters, kGroups, other).gathered);
    EXPECT_FALSE(shard_copies(kParameters, kGroups, other).reduced);
  }
}

// The gradients of redundant experts and their originals are summed before all others' are reduced.
TEST(StepEnd, ReplicasAddTheirGradientsUp) {
  GradientGroups groups = kGroups;
  const BlockParameters p{1e6, 3e6, 2e6};
  EXPECT_FALSE(gradient_reduction(p, groups, sharded(Sharding::zero_1), {}).replicas) << "nobody to share with";
  groups.replicas = {2, 1, 2};
  const BlockReduction r = gradient_reduction(p, groups, sharded(Sharding::zero_1), {});
  EXPECT_EQ(collective(r.replicas).kind, CollectiveKind::all_reduce);
  EXPECT_EQ(collective(r.replicas).bytes, Bytes{4 * 2e6});
  EXPECT_EQ(collective(r.expert).bytes, Bytes{4 * 3e6}) << "replicas update like experts of their own";
  EXPECT_FALSE(gradient_reduction(kParameters, groups, sharded(Sharding::zero_1), {}).replicas);
}

// Hybrid sharding: shards within a group, then every shard's sum over the copies. The wire carries (s - 1) / s + 2 (r - 1) / r / s.
TEST(StepEnd, SharesMeetInTheirGroupThenOverTheCopies) {
  Plan plan;
  plan.pipeline_parallel = 4;
  plan.expert_parallel = 2;
  plan.sharding_group = 8;
  const DeviceMesh mesh(plan, linear_cluster(16));  // 32 replicas of dense parameters, 16 of experts
  const GradientGroups g = gradient_groups(mesh, 1, plan);
  EXPECT_EQ(g.dense.size, 8);
  EXPECT_EQ(g.dense_copies.size, 4);
  EXPECT_EQ(g.dense_copies.stride, 8);
  EXPECT_EQ(g.dense_copies.ranks_per_node, 1);
  EXPECT_EQ(g.expert.size, 4);
  EXPECT_EQ(g.expert_copies.size, 4);
  const BlockReduction r = gradient_reduction(kParameters, g, plan, {});
  EXPECT_EQ(collective(r.dense).kind, CollectiveKind::reduce_scatter);
  EXPECT_EQ(collective(r.dense).bytes, Bytes{4e6});
  EXPECT_EQ(collective(r.dense_copies).kind, CollectiveKind::all_reduce);
  EXPECT_EQ(collective(r.dense_copies).bytes, Bytes{4e6 / 8});
  EXPECT_EQ(collective(r.expert_copies).bytes, Bytes{12e6 / 4});
  EXPECT_DOUBLE_EQ(optimizer_shard(kParameters, g, plan), 1e6 / 8 + 3e6 / 4);
  EXPECT_EQ(collective(parameter_gather(kParameters, g, plan).dense).ranks, 8);
}

TEST(StepEnd, BucketsAreMegatronsUnlessSaid) {
  Plan plan;
  EXPECT_EQ(bucket_parameters(plan, {8, 1, 8}), 40e6);
  EXPECT_EQ(bucket_parameters(plan, {128, 1, 8}), 128e6);
  plan.bucket_parameters = 5e6;
  EXPECT_EQ(bucket_parameters(plan, {128, 1, 8}), 5e6);
}

TEST(StepEnd, GradientsMeetOverTheirOwnGroups) {
  Training training;
  training.optimizer_state.gradient_reduce_bytes = 2;
  for (const Sharding sharding : {Sharding::none, Sharding::zero_1, Sharding::zero_2, Sharding::zero_3}) {
    const BlockReduction r = gradient_reduction(kParameters, kGroups, sharded(sharding), training);
    const CollectiveKind kind = sharding == Sharding::none ? CollectiveKind::all_reduce : CollectiveKind::reduce_scatter;
    EXPECT_EQ(collective(r.dense), (Collective{kind, Bytes{2e6}, 16, 8, {}}));
    EXPECT_EQ(collective(r.expert), (Collective{kind, Bytes{6e6}, 4, 1, {}}));
  }
}

TEST(StepEnd, WithNobodyToShareWithNothingIsSent) {
  const GradientGroups alone{{1, 1, 1}, {1, 1, 1}};
  const BlockReduction r = gradient_reduction(kParameters, alone, sharded(Sharding::zero_1), {});
  EXPECT_FALSE(r.dense || r.expert);
  EXPECT_FALSE(gradient_reduction({1e6, 0}, kGroups, sharded(Sharding::zero_1), {}).expert);
  EXPECT_FALSE(parameter_gather(kParameters, alone, sharded(Sharding::zero_1)).dense);
}

TEST(StepEnd, ParametersAreGatheredInBF16WhereTheyAreSharded) {
  const BlockReduction g = parameter_gather(kParameters, kGroups, sharded(Sharding::zero_1));
  EXPECT_EQ(collective(g.dense), (Collective{CollectiveKind::all_gather, Bytes{2e6}, 16, 8, {}}));
  EXPECT_EQ(collective(g.expert), (Collective{CollectiveKind::all_gather, Bytes{6e6}, 4, 1, {}}));
  EXPECT_FALSE(parameter_gather(kParameters, kGroups, sharded(Sharding::none)).dense);
}

TEST(StepEnd, ShardsOfAllMembersAreTheParameters) {
  const double dense = optimizer_shard({1e6, 0}, kGroups, sharded(Sharding::zero_1));
  const double expert = optimizer_shard({0, 3e6}, kGroups, sharded(Sharding::zero_1));
  EXPECT_DOUBLE_EQ(dense * 16, 1e6);
  EXPECT_DOUBLE_EQ(expert * 4, 3e6);
  EXPECT_DOUBLE_EQ(optimizer_shard(kParameters, kGroups, sharded(Sharding::zero_1)), dense + expert);
  EXPECT_DOUBLE_EQ(optimizer_shard(kParameters, kGroups, sharded(Sharding::none)), kParameters.total());
}

TEST(StepEnd, TheUpdateMovesTheShardsState) {
  Scenario s;
  s.training.optimizer_state = {.master_weight_bytes = 4, .moment_bytes = 2, .gradient_bytes = 4, .gradient_reduce_bytes = 4};
  const OptimizerKernels k = optimizer_kernels({1e6, 8e6}, {64, 1, 8}, s);
  EXPECT_EQ(std::get<MemoryBound>(k.gradient_norm->what).read, Bytes{4e6});
  EXPECT_EQ(std::get<MemoryBound>(k.update.what), (MemoryBound{MemoryKernel::adam, Bytes{(4 + 8) * 1e6}, Bytes{(8 + 2) * 1e6}}));
  EXPECT_EQ(std::get<Collective>(k.norm_exchange->what), (Collective{CollectiveKind::all_reduce, Bytes{4}, 64, 8, {}}));
  EXPECT_FALSE(k.quantise);
}

TEST(StepEnd, InFP8AllWeightsAreQuantisedForTheNextStep) {
  Scenario s;
  s.plan.precision = Precision::fp8;
  const OptimizerKernels k = optimizer_kernels({1e6, 8e6}, {64, 1, 8}, s);
  ASSERT_TRUE(k.quantise);
  EXPECT_EQ(std::get<MemoryBound>(k.quantise->what).read, Bytes{2 * 8e6});  // of those it computes with, not of the shard alone
  EXPECT_EQ(k.quantise->category, Category::optimizer);
}

// g bytes a gradient, p parameters, q of the shard: zeroes g p, divides g p, copies 4 q to 2 q; FP16: g q to 4 q, unscales 4 q.
TEST(StepEnd, MegatronsPassesAroundTheUpdate) {
  Scenario s;
  s.cluster.nodes = 8;
  s.cluster.gpus_per_node = 8;
  s.training.optimizer_state.gradient_bytes = 2;
  s.calibration.stack.unfused.value = {UnfusedPart::optimizer};
  const auto bytes = [](const Operations& ops) {
    double sum = 0;
    for (const Operation& op : ops) sum += std::get<MemoryBound>(op.what).read.value() + std::get<MemoryBound>(op.what).written.value();
    return sum;
  };
  const HeldParameters held{1e6, 8e6};
  EXPECT_DOUBLE_EQ(bytes(optimizer_kernels(held, {64, 1, 8}, s).before), 2 * 8e6 + 2 * 2 * 8e6);
  EXPECT_DOUBLE_EQ(bytes(optimizer_kernels(held, {64, 1, 8}, s).after), (4 + 2) * 1e6);
  s.plan.pipeline_parallel = 64;  // one replica: nothing to divide by
  EXPECT_DOUBLE_EQ(bytes(optimizer_kernels(held, {64, 1, 8}, s).before), 2 * 8e6);
  s.calibration.stack.unfused.value = {UnfusedPart::loss_scaling};
  EXPECT_DOUBLE_EQ(bytes(optimizer_kernels(held, {64, 1, 8}, s).before), (2 + 4 + 4 + 4) * 1e6);
  s.training.optimizer_state.gradient_bytes = 4;  // FP32 already
  EXPECT_DOUBLE_EQ(bytes(optimizer_kernels(held, {64, 1, 8}, s).before), (4 + 4) * 1e6);
  s.calibration.stack.unfused.value = {};
  EXPECT_TRUE(optimizer_kernels(held, {64, 1, 8}, s).before.empty() && optimizer_kernels(held, {64, 1, 8}, s).after.empty());
}

// torch.optim.AdamW(fused=True): reads parameter, gradient and both moments, writes all but the gradient; no clipping.
TEST(StepEnd, PyTorchUpdatesInOneKernelOfTheParametersType) {
  Scenario s;
  s.calibration.stack.framework.value = Framework::torch_eager;
  s.training.optimizer_state = {.master_weight_bytes = 0, .moment_bytes = 2, .gradient_bytes = 2, .gradient_reduce_bytes = 2};
  OptimizerKernels k = optimizer_kernels({1e6, 1e6}, {1, 1, 1}, s);
  EXPECT_FALSE(k.gradient_norm || k.norm_exchange || k.quantise);
  EXPECT_EQ(std::get<MemoryBound>(k.update.what), (MemoryBound{MemoryKernel::torch_adamw_fused_bf16, Bytes{8e6}, Bytes{6e6}}));
  s.training.optimizer_state.master_weight_bytes = 4;
  k = optimizer_kernels({1e6, 1e6}, {1, 1, 1}, s);
  EXPECT_EQ(std::get<MemoryBound>(k.update.what), (MemoryBound{MemoryKernel::torch_adamw_fused_fp32, Bytes{16e6}, Bytes{12e6}}));
}

TEST(StepEnd, APipelineReducesOnceAStep) {
  for (const Sharding sharding : {Sharding::none, Sharding::zero_1, Sharding::zero_2, Sharding::zero_3}) {
    Plan plan;
    plan.sharding = sharding;
    EXPECT_EQ(reduces_every_micro_batch(plan), sharding == Sharding::zero_2 || sharding == Sharding::zero_3);
    plan.pipeline_parallel = 2;
    EXPECT_FALSE(reduces_every_micro_batch(plan));
  }
}

}  // namespace
}  // namespace trillion::step_end_test
