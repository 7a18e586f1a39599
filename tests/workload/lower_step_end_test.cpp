// How a step's gradients and parameters move between replicas, and how it ends:
//   gradients are reduced once they are complete, in buckets, beside or after the passes; sharded ones as often as sharding asks
//   parameters are gathered before the kernels that need them
//   the norm is exchanged, the optimizer runs, the new parameters are gathered
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "sim/engine/engine.h"
#include "sim/workload/lower.h"
#include "tests/support/block_setting.h"
#include "tests/support/laid_out_step.h"

namespace trillion::lower_step_end_test {
namespace {

using namespace testing_support;
using testing::ElementsAre;

// Tasks of the gradient stream by rank, without the exchange of the norm.
std::vector<TaskId> reductions(const LoweredStep& step, std::size_t rank) {
  std::vector<TaskId> out;
  for (const TaskId t : step.graph.tasks_of(step.streams[rank][static_cast<std::size_t>(Lane::reduce)])) {
    if (t < step.step_end) out.push_back(t);
  }
  return out;
}

Scenario unbucketed(Scenario s) {
  s.plan.bucket_parameters = 1;
  return s;
}

TEST(LowerStepEnd, GradientsAreReducedOnceAfterTheLastMicroBatch) {
  const LaidOutStep laid(unbucketed(linear_pipeline(ScheduleKind::one_f_one_b, 4)));
  const LoweredStep step = laid.lowered();
  for (std::size_t rank = 0; rank < 4; ++rank) {
    const std::vector<TaskId> reduced = reductions(step, rank);
    EXPECT_EQ(reduced.size(), laid.cut.stages[rank].size());
    std::vector<TaskId> weights;
    for (const TaskId t : step.graph.tasks_of(step.streams[rank][0])) {
      if (step.graph.kind_of(t).label == "qkv wgrad") weights.push_back(t);
    }
    const std::size_t layers = 2, before_last = weights.size() - layers - 1;
    for (const TaskId t : reduced) {
      EXPECT_GT(t, weights[before_last]) << "every earlier micro-batch is through";
      ASSERT_EQ(step.graph.dependencies(t).size(), 1u);
      const std::string& computed = step.graph.kind_of(step.graph.dependencies(t)[0]).label;
      EXPECT_TRUE(computed.ends_with("wgrad") || computed == "embedding backward") << computed;
    }
  }
}

TEST(LowerStepEnd, ShardedGradientsAreReducedEveryMicroBatchButUnderAPipeline) {
  Scenario alone = linear_pipeline(ScheduleKind::one_f_one_b, 1), piped = unbucketed(linear_pipeline(ScheduleKind::one_f_one_b, 4));
  for (const Sharding sharding : {Sharding::zero_2, Sharding::zero_3}) {
    alone.plan.sharding = piped.plan.sharding = sharding;
    const LaidOutStep one(alone), four(piped);
    ASSERT_GT(one.schedule.micro_batches, 1);
    EXPECT_EQ(reductions(one.lowered(), 0).size(), static_cast<std::size_t>(one.schedule.micro_batches) * one.cut.stages[0].size());
    EXPECT_EQ(reductions(four.lowered(), 1).size(), four.cut.stages[1].size());
  }
}

TEST(LowerStepEnd, ShardedPyTorchCopiesBetweenGatherAndKernelsAndBeforeTheReduction) {
  Scenario s = linear_pipeline(ScheduleKind::one_f_one_b, 1);
  s.plan.sharding = Sharding::zero_3;
  s.calibration.stack.framework.value = Framework::torch_compiled;
  const LaidOutStep laid(s);
  const LoweredStep step = laid.lowered();
  std::size_t taken_apart = 0;
  for (const TaskId t : step.graph.tasks_of(step.streams[0][static_cast<std::size_t>(Lane::compute)])) {
    if (step.graph.kind_of(t).label != "take gathered parameters apart") continue;
    ++taken_apart;
    ASSERT_EQ(step.graph.dependencies(t).size(), 1u);
    EXPECT_EQ(step.graph.kind_of(step.graph.dependencies(t)[0]).label, "gather parameters");
  }
  EXPECT_EQ(taken_apart, step.graph.tasks_of(step.streams[0][static_cast<std::size_t>(Lane::gather)]).size());
  for (const TaskId t : reductions(step, 0)) {
    EXPECT_EQ(step.graph.kind_of(step.graph.dependencies(t)[0]).label, "cut gradients into chunks");
  }
}

TEST(LowerStepEnd, TheTwoCopiesOfAStageReduceTogether) {
  const LaidOutStep laid(unbucketed(linear_pipeline(ScheduleKind::dualpipe, 4)));
  const LoweredStep step = laid.lowered();
  for (std::size_t rank = 0; rank < 4; ++rank) {
    const std::vector<TaskId> reduced = reductions(step, rank);
    EXPECT_EQ(reduced.size(), laid.cut.stages[rank].size() + laid.cut.stages[3 - rank].size());
    for (const TaskId t : reduced) {
      ASSERT_TRUE(step.graph.rendezvous_of(t).valid());
      EXPECT_EQ(step.graph.member_count(step.graph.rendezvous_of(t)), 2u);
    }
  }
}

double reduced_bytes(const LoweredStep& step, std::size_t rank, Lane lane = Lane::reduce) {
  double sum = 0;
  for (const TaskId t : step.graph.tasks_of(step.streams[rank][static_cast<std::size_t>(lane)])) {
    const WireBytes wire = step.evidence[step.graph.kind_id_of(t).value].wire;
    sum += wire.nic.value() + wire.nvlink.value();
  }
  return sum;
}

// Buckets move the same bytes in fewer pieces; the last one holds what is left.
TEST(LowerStepEnd, BucketsGatherBlocksUntilTheyAreFull) {
  Scenario s = unbucketed(linear_pipeline(ScheduleKind::one_f_one_b, 2));  // four layers a rank
  const double layer = LaidOutStep(s).block(BlockKind::dense_layer).parameters.total();
  const LoweredStep pieces = LaidOutStep(s).lowered();
  for (const auto& [bucket, expected] : {std::pair{layer / 2, 4u}, {1.5 * layer, 2u}, {2.5 * layer, 2u}, {100 * layer, 1u}}) {
    s.plan.bucket_parameters = bucket;
    const LoweredStep step = LaidOutStep(s).lowered();
    EXPECT_EQ(reductions(step, 1).size(), expected) << bucket / layer << " layers";  // rank 1: the head's go with the last layer's
    EXPECT_NEAR(reduced_bytes(step, 1) / reduced_bytes(pieces, 1), 1, 1e-12);
  }
}

TEST(LowerStepEnd, WithoutOverlapReductionsWaitForTheLastBackwardPass) {
  Scenario s = unbucketed(linear_pipeline(ScheduleKind::one_f_one_b, 2));
  const LoweredStep early = LaidOutStep(s).lowered();
  const SimTime overlapped = run(early.graph).makespan;
  s.plan.overlap_gradient_reduce = false;
  const LoweredStep late = LaidOutStep(s).lowered();
  const Trace trace = run(late.graph);
  EXPECT_GT(trace.makespan, overlapped);
  EXPECT_EQ(reductions(late, 1).size(), 0u);  // all of them belong to the step's end
  EXPECT_DOUBLE_EQ(reduced_bytes(late, 1), reduced_bytes(early, 1));
  SimTime computed;
  for (const TaskId t : late.graph.tasks_of(late.streams[1][0])) {
    if (t < late.step_end) computed = std::max(computed, trace.end[t.value]);
  }
  EXPECT_GE(trace.start[late.graph.first_of(late.streams[1][static_cast<std::size_t>(Lane::reduce)]).value], computed);
}

TEST(LowerStepEnd, GatheredBesideTheFirstForwardPassEachBlockWaitsForItsOwn) {
  Scenario s = unbucketed(linear_pipeline(ScheduleKind::one_f_one_b, 2));
  const LoweredStep late = LaidOutStep(s).lowered();
  s.plan.overlap_parameter_gather = true;
  const LaidOutStep laid(s);
  const LoweredStep step = laid.lowered();
  const Trace trace = run(step.graph);
  EXPECT_LT(trace.makespan, run(late.graph).makespan);
  for (std::size_t rank = 0; rank < 2; ++rank) {
    EXPECT_DOUBLE_EQ(reduced_bytes(step, rank, Lane::gather), reduced_bytes(late, rank, Lane::gather));
    std::vector<SimTime> there;
    for (const TaskId t : step.graph.tasks_of(step.streams[rank][static_cast<std::size_t>(Lane::gather)])) {
      EXPECT_LT(t, step.step_end);
      there.push_back(trace.end[t.value]);
    }
    ASSERT_EQ(there.size(), laid.cut.stages[rank].size());
    std::size_t layer = rank == 0 ? 1 : 0;  // the embedding comes before rank 0's layers
    for (const TaskId t : step.graph.tasks_of(step.streams[rank][0])) {
      if (step.graph.kind_of(t).label != "attention norm" || layer == there.size()) continue;
      EXPECT_GE(trace.start[t.value], there[layer++]);
    }
  }
}

TEST(LowerStepEnd, HybridShardingReducesItsSharesOverTheCopies) {
  Scenario s = unbucketed(linear_pipeline(ScheduleKind::one_f_one_b, 2));
  s.plan.sharding_group = 4;  // of 8 replicas
  const LoweredStep step = LaidOutStep(s).lowered();
  const std::vector<std::string> order = labels_on(step, 1, Lane::reduce);
  ASSERT_GE(order.size(), 4u);
  for (std::size_t i = 0; i + 1 < order.size(); i += 2) {  // the norm's exchange is last
    EXPECT_EQ(order[i], "reduce gradients");
    EXPECT_EQ(order[i + 1], "reduce gradients over copies");
  }
}

TEST(LowerStepEnd, ReplicasAloneReduceWithoutAMeeting) {
  const LoweredStep step = LaidOutStep(linear_pipeline(ScheduleKind::one_f_one_b, 4)).lowered();
  for (const TaskId t : reductions(step, 0)) EXPECT_FALSE(step.graph.rendezvous_of(t).valid());
}

TEST(LowerStepEnd, FullShardingGathersABlockBeforeItsKernelsAndUnderAPipelineOnce) {
  Scenario piped = linear_pipeline(ScheduleKind::one_f_one_b, 4), alone = linear_pipeline(ScheduleKind::one_f_one_b, 1);
  EXPECT_EQ(labels_on(LaidOutStep(piped).lowered(), 1, Lane::gather).size(), 2u);  // at the step's end, one per layer
  alone.plan.sharding = piped.plan.sharding = Sharding::zero_3;
  const LaidOutStep laid(alone);
  const auto passes = 2 * static_cast<std::size_t>(laid.schedule.micro_batches);  // forward and backward
  EXPECT_EQ(labels_on(laid.lowered(), 0, Lane::gather).size(), passes * laid.cut.stages[0].size());
  EXPECT_EQ(labels_on(LaidOutStep(piped).lowered(), 1, Lane::gather).size(), 2u);
}

TEST(LowerStepEnd, TheStepEndsWithNormUpdateAndGather) {
  Scenario s = linear_pipeline(ScheduleKind::one_f_one_b, 4);
  s.plan.precision = Precision::fp8;
  const LoweredStep step = LaidOutStep(s).lowered();
  const Trace trace = run(step.graph);
  RendezvousId meeting;
  for (std::size_t rank = 0; rank < 4; ++rank) {
    std::vector<std::string> compute;
    TaskId norm, update, gather;
    for (const TaskId t : step.graph.tasks_of(step.streams[rank][0])) {
      if (t < step.step_end) continue;
      compute.push_back(step.graph.kind_of(t).label);
      if (compute.back() == "optimizer update") update = t;
    }
    EXPECT_THAT(compute, ElementsAre("gradient norm", "optimizer update", "quantise weights"));
    for (const TaskId t : step.graph.tasks_of(step.streams[rank][static_cast<std::size_t>(Lane::reduce)])) norm = t;
    EXPECT_EQ(step.graph.kind_of(norm).label, "exchange gradient norm");
    if (rank == 0) meeting = step.graph.rendezvous_of(norm);
    EXPECT_EQ(step.graph.rendezvous_of(norm), meeting) << "nobody knows the norm before everybody has";
    for (const TaskId t : step.graph.tasks_of(step.streams[rank][static_cast<std::size_t>(Lane::gather)])) {
      gather = t;
      EXPECT_LE(trace.end[update.value], trace.start[gather.value]);
    }
    EXPECT_LE(trace.end[norm.value], trace.start[update.value]);
  }
  EXPECT_EQ(step.graph.member_count(meeting), 4u);
}

Scenario interleaved(std::int64_t ranks, std::int64_t chunks) {
  Scenario s = unbucketed(linear_pipeline(ScheduleKind::interleaved_1f1b, ranks, dense_model(16)));
  s.plan.virtual_pipeline_stages = chunks;
  s.plan.overlap_parameter_gather = true;
  return s;
}

// When the first of these kernels starts and the last ends, on the rank's compute stream.
struct Stretch {
  std::vector<SimTime> starts, ends;
};
Stretch kernels(const LoweredStep& step, const Trace& trace, std::size_t rank, const std::string& label) {
  Stretch s;
  for (const TaskId t : step.graph.tasks_of(step.streams[rank][0])) {
    if (step.graph.kind_of(t).label != label) continue;
    s.starts.push_back(trace.start[t.value]), s.ends.push_back(trace.end[t.value]);
  }
  return s;
}

// Megatron-LM's interleaved schedule. 16 layers on 2 ranks in 4 chunks of 2: a rank gathers 8 layers (and an end), layer by layer.
TEST(LowerStepEnd, InterleavedTheFirstTwoChunksAreGatheredAtOnceAndTheOthersAChunkAhead) {
  const LaidOutStep laid(interleaved(2, 4));
  const LoweredStep step = laid.lowered();
  const Trace trace = run(step.graph);
  for (std::size_t rank = 0; rank < 2; ++rank) {
    std::vector<TaskId> gathers;
    std::vector<std::size_t> independent;
    for (const TaskId t : step.graph.tasks_of(step.streams[rank][static_cast<std::size_t>(Lane::gather)])) {
      if (step.graph.dependencies(t).empty()) independent.push_back(gathers.size());
      gathers.push_back(t);
    }
    std::size_t first_two = 0, all = 0;
    const std::vector<std::int32_t> stages = laid.schedule.stages_of(static_cast<std::int32_t>(rank));
    for (std::size_t chunk = 0; chunk < stages.size(); ++chunk) {
      const std::size_t blocks = laid.cut.stages[static_cast<std::size_t>(stages[chunk])].size();
      all += blocks;
      if (chunk < 2) first_two += blocks;
    }
    ASSERT_EQ(gathers.size(), all) << "each block's parameters once";
    ASSERT_EQ(independent.size(), first_two);
    EXPECT_EQ(independent.back(), first_two - 1) << "the first two chunks come first";
    EXPECT_EQ(trace.start[gathers.front().value], SimTime{});
    // Every layer's first kernel waits for its own parameters.
    const Stretch norms = kernels(step, trace, rank, "attention norm");
    std::size_t embedding = rank == 0 ? 1 : 0, layer = 0;
    const std::size_t ranks = 2;
    for (std::size_t chunk = 0; chunk < 4; ++chunk) {
      for (std::size_t i = 0; i < 2; ++i, ++layer) {
        // Chunk c's first forward pass is pass number c x ranks, two norms each.
        const SimTime starts = norms.starts[chunk * ranks * 2 + i];
        EXPECT_GE(starts, trace.end[gathers[embedding + layer].value]) << "rank " << rank << " chunk " << chunk << " layer " << i;
      }
    }
    // The third chunk is asked for as rank 0 begins the second one's first pass: its gather waits for the pass before.
    const TaskId third = gathers[first_two];
    const std::size_t before = ranks - rank;  // forward passes that have ended
    EXPECT_GE(trace.start[third.value], norms.ends[before * 2 - 1]);
  }
}

TEST(LowerStepEnd, InterleavedSmallBucketsDoNotHoldUpThePasses) {
  Scenario small = interleaved(4, 4), whole = small;
  whole.plan.bucket_parameters = 1e12;
  const double by_layers = run(LaidOutStep(small).lowered().graph).makespan.seconds().value();
  const double by_chunks = run(LaidOutStep(whole).lowered().graph).makespan.seconds().value();
  EXPECT_LE(by_layers, by_chunks * 1.001);
}

TEST(LowerStepEnd, InterleavedAChunksGradientsAreReducedTogetherOnceItsLastPassIsThrough) {
  const LaidOutStep laid(interleaved(2, 4));
  const LoweredStep step = laid.lowered();
  for (std::size_t rank = 0; rank < 2; ++rank) {
    const std::vector<TaskId> reduced = reductions(step, rank);
    EXPECT_EQ(reduced.size(), 4u) << "one a chunk";
    Scenario by_blocks = laid.scenario;
    by_blocks.plan.schedule = ScheduleKind::one_f_one_b;
    by_blocks.plan.virtual_pipeline_stages = 1;
    by_blocks.plan.layers_per_stage.reset();
    const LoweredStep other = LaidOutStep(by_blocks).lowered();
    EXPECT_NEAR(reduced_bytes(step, 0) + reduced_bytes(step, 1), reduced_bytes(other, 0) + reduced_bytes(other, 1), 1);
  }
}

}  // namespace
}  // namespace trillion::lower_step_end_test
