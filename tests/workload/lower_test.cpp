// From a schedule to tasks. The algebra:
//   counts     an action has the kernels of its pass, one task each, and a send where its micro-batch leaves the rank
//   neighbours the first kernel of stage s + 1 waits for the send of stage s, and back; the loss turns around without one
//   pairs      streams hold the kernels of a forward and a backward chunk in the documented order
//   gradients  are reduced once, after the last weight gradient of their block (ZeRO-2, 3: after each)
//   step end   gradient norm, its exchange by all ranks together, update, gather, quantisation
#include "sim/workload/lower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "sim/engine/engine.h"
#include "tests/support/block_setting.h"
#include "tests/support/laid_out_step.h"

namespace trillion::lower_test {
namespace {

using namespace testing_support;
using testing::ElementsAre;

std::size_t passes_of(const Block& b, ActionKind kind) {
  const std::size_t weight = b.experts_weight.size() + b.before_exchange_weight.size();
  const std::size_t input = b.recompute.size() + b.experts_backward.size() + b.before_exchange_backward.size();
  switch (kind) {
    case ActionKind::forward: return b.before_exchange.size() + b.experts.size();
    case ActionKind::input_gradient: return input;
    case ActionKind::weight_gradient: return weight;
    case ActionKind::backward: return input + weight;
  }
  return 0;
}

class EverySchedule : public testing::TestWithParam<ScheduleKind> {};

TEST_P(EverySchedule, AnActionHasTheKernelsOfItsPassAndASend) {
  Scenario s = linear_pipeline(GetParam(), 4);
  if (GetParam() == ScheduleKind::interleaved_1f1b) s.plan.virtual_pipeline_stages = 2;
  s.plan.sharding = Sharding::none;
  s.plan.data_parallel.reset();
  const LaidOutStep laid(s);
  const LoweredStep step = laid.lowered();
  std::uint32_t next = 0;
  for (const ActionSpan& span : step.spans) {
    EXPECT_EQ(span.first.value, next) << "spans follow each other";
    next = span.end.value;
    const StreamId stream = step.graph.stream_of(span.first);
    std::size_t rank = 0;
    while (std::find(step.streams[rank].begin(), step.streams[rank].end(), stream) == step.streams[rank].end()) ++rank;
    const Action& action = laid.schedule.ranks[rank][static_cast<std::size_t>(span.position)];
    std::size_t kernels = 0, sends = 0;
    for (const Pass* p : {&action.first, action.second ? &*action.second : nullptr}) {
      if (!p) continue;
      for (const BlockKind k : laid.cut.stages[static_cast<std::size_t>(p->stage)]) kernels += passes_of(laid.block(k), p->kind);
      if (p->kind == ActionKind::weight_gradient) continue;
      const std::int32_t to = p->stage + (p->kind == ActionKind::forward ? 1 : -1);
      if (to < 0 || to == laid.schedule.stages) continue;
      sends += laid.schedule.rank_of(to, p->micro_batch) != static_cast<std::int32_t>(rank) ? 1 : 0;
    }
    std::size_t found_sends = 0, reductions = 0;
    for (std::uint32_t t = span.first.value; t < span.end.value; ++t) {
      const auto category = static_cast<Category>(step.graph.kind_of(TaskId{t}).tag);
      found_sends += category == Category::pipeline_p2p ? 1 : 0;
      reductions += category == Category::gradient_reduce ? 1 : 0;
    }
    EXPECT_EQ(found_sends, sends);
    EXPECT_EQ(span.end.value - span.first.value, kernels + sends + reductions);
  }
  EXPECT_EQ(next, step.step_end.value);
}

TEST_P(EverySchedule, TheGraphRunsToItsEnd) {
  Scenario s = linear_pipeline(GetParam(), 4, moe_model(8));
  s.plan.expert_parallel = 4;
  if (GetParam() == ScheduleKind::interleaved_1f1b) s.plan.virtual_pipeline_stages = 2;
  const LoweredStep step = LaidOutStep(s).lowered();
  EXPECT_EQ(step.evidence.size(), step.graph.kind_count());
  const Trace trace = run(step.graph);
  EXPECT_EQ(trace.end.size(), step.graph.task_count());
  EXPECT_GT(trace.makespan, SimTime{});
}

TEST_P(EverySchedule, RunsOfKernelsTakeAsLongAsTheirKernels) {
  Scenario s = linear_pipeline(GetParam(), 4, moe_model(8));
  s.plan.expert_parallel = 4;
  s.plan.overlap_gradient_reduce = false;  // nothing runs beside kernels,
  s.cluster.scale_up.domain_gpus = 1;      // not even sends to neighbours in the node
  if (GetParam() == ScheduleKind::interleaved_1f1b) s.plan.virtual_pipeline_stages = 2;
  const LaidOutStep laid(s);
  const LoweredStep kernels = laid.lowered(), runs = laid.lowered(Detail::runs);
  EXPECT_LT(runs.graph.task_count(), kernels.graph.task_count() / 2);
  const Trace every = run(kernels.graph), joined = run(runs.graph);
  EXPECT_EQ(every.makespan, joined.makespan);
  EXPECT_EQ(every.link_bytes.size(), joined.link_bytes.size());

  std::vector<std::string> expected, found;  // rank 0's kernels in order, the runs taken apart
  for (const std::string& label : labels_on(kernels, 0, Lane::compute)) expected.push_back(label);
  for (const TaskId t : runs.graph.tasks_of(runs.streams[0][static_cast<std::size_t>(Lane::compute)])) {
    const KindId kind = runs.graph.kind_id_of(t);
    if (runs.parts[kind.value].empty()) found.push_back(runs.graph.kind(kind).label);
    for (const KindId part : runs.parts[kind.value]) found.push_back(runs.graph.kind(part).label);
  }
  EXPECT_EQ(found, expected);
}

INSTANTIATE_TEST_SUITE_P(All, EverySchedule,
                         testing::Values(ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved_1f1b,
                                         ScheduleKind::zb_h1, ScheduleKind::zb_h2, ScheduleKind::zb_v, ScheduleKind::dualpipe,
                                         ScheduleKind::dualpipe_v),
                         [](const auto& p) {
                           std::string name(kScheduleNames[static_cast<std::size_t>(p.param)]);
                           std::erase(name, '-');
                           return name;
                         });

// The embedding and the head may have stages of their own, and a stage that holds nothing passes on what it gets.
TEST(Lower, StagesWithoutLayersPassOn) {
  for (const ScheduleKind schedule : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::zb_h1, ScheduleKind::dualpipe}) {
    Scenario s = linear_pipeline(schedule, 4, dense_model(2));
    for (const std::vector<std::int64_t>& layers : {std::vector<std::int64_t>{0, 1, 1, 0}, std::vector<std::int64_t>{1, 0, 0, 1}}) {
      s.plan.layers_per_stage = layers;
      EXPECT_GT(run(LaidOutStep(s).lowered().graph).makespan, SimTime{});
    }
  }
}

TEST(Lower, AStageWaitsForItsNeighboursSend) {
  const LaidOutStep laid(linear_pipeline(ScheduleKind::one_f_one_b, 4));
  const LoweredStep step = laid.lowered();
  for (const ActionSpan& span : step.spans) {
    const StreamId stream = step.graph.stream_of(span.first);
    const auto rank = static_cast<std::size_t>(
        std::find_if(step.streams.begin(), step.streams.end(), [&](const auto& lanes) { return lanes[0] == stream; }) -
        step.streams.begin());
    ASSERT_LT(rank, 4u) << "an action starts on a compute stream";
    const bool forward = laid.schedule.ranks[rank][static_cast<std::size_t>(span.position)].first.kind == ActionKind::forward;
    const std::span<const TaskId> waits = step.graph.dependencies(span.first);
    if (rank == (forward ? 0u : 3u)) {  // the first stage starts by itself; at the last one the loss turns around
      EXPECT_TRUE(waits.empty());
      continue;
    }
    ASSERT_EQ(waits.size(), 1u);
    const Lane lane = forward ? Lane::pipeline_forward : Lane::pipeline_backward;
    const std::size_t neighbour = forward ? rank - 1 : rank + 1;
    EXPECT_EQ(step.graph.stream_of(waits[0]), step.streams[neighbour][static_cast<std::size_t>(lane)]);
    EXPECT_EQ(step.graph.kind_of(waits[0]).label, forward ? "send activations" : "send gradients");
    // The send waits for its stage's last kernel.
    EXPECT_EQ(step.graph.stream_of(step.graph.dependencies(waits[0])[0]), step.streams[neighbour][0]);
  }
}

Scenario one_pair() {
  Plan plan;
  plan.schedule = ScheduleKind::dualpipe;
  plan.pipeline_parallel = 2;
  plan.expert_parallel = 8;
  plan.precision = Precision::fp8;
  Scenario s = linear_scenario(moe_model(2), plan, 2, 8 * 8);
  s.plan.layers_per_stage = {1, 1};
  s.extent = Extent::overlapped_pair;
  s.pair_layers = 1;
  return s;
}

std::size_t place(const std::vector<std::string>& order, const std::string& label) {
  const auto found = std::find(order.begin(), order.end(), label);
  EXPECT_NE(found, order.end()) << label;
  return static_cast<std::size_t>(found - order.begin());
}

TEST(Lower, AnOverlappedPairAlternatesInTheDocumentedOrder) {
  LaidOutStep laid(one_pair());
  laid.load.mean.remote_nodes_per_token = laid.load.mean.local_ranks_per_token = 1;
  laid.schedule = {.stages = 1, .micro_batches = 2, .ranks = {{{{ActionKind::forward, 0, 1}, Pass{ActionKind::backward, 0, 0}}}}};
  laid.cut = {{Stage{BlockKind::moe_layer}}, {0}};
  const LoweredStep step = laid.lowered();
  // The wires first: combine B | dispatch F | dispatch B | combine F.
  EXPECT_THAT(labels_on(step, 0, Lane::expert),
              ElementsAre("quantise gradient for dispatch", "combine backward", "dispatch", "dispatch backward", "combine"));
  // attention F | experts B | experts W, experts F | attention B, attention W.
  const std::vector<std::string> compute = labels_on(step, 0, Lane::compute);
  const std::vector<std::string> landmarks = {
      "attention",  "gate",         "experts down dgrad", "experts up dgrad", "experts down wgrad", "experts up wgrad",
      "experts up", "experts down", "attention backward", "qkv dgrad",        "o projection wgrad", "qkv wgrad"};
  for (std::size_t i = 1; i < landmarks.size(); ++i) {
    EXPECT_LT(place(compute, landmarks[i - 1]), place(compute, landmarks[i])) << landmarks[i - 1] << " before " << landmarks[i];
  }
  EXPECT_EQ(step.step_end.value, step.graph.task_count());  // a pair has no end of its own
}

TEST(Lower, AnExchangeHoldsUpItsOwnChunkOnly) {
  LaidOutStep laid(one_pair());
  laid.load.mean.remote_nodes_per_token = laid.load.mean.local_ranks_per_token = 1;
  laid.schedule = {.stages = 1, .micro_batches = 2, .ranks = {{{{ActionKind::forward, 0, 1}, Pass{ActionKind::backward, 0, 0}}}}};
  laid.cut = {{Stage{BlockKind::moe_layer}}, {0}};
  const LoweredStep step = laid.lowered();
  const Trace trace = run(step.graph);
  const auto task = [&](Lane lane, const std::string& label) {
    for (const TaskId t : step.graph.tasks_of(step.streams[0][static_cast<std::size_t>(lane)])) {
      if (step.graph.kind_of(t).label == label) return t;
    }
    ADD_FAILURE() << label;
    return TaskId{0};
  };
  const TaskId dispatch = task(Lane::expert, "dispatch"), experts = task(Lane::compute, "count tokens of experts");
  const TaskId weight = task(Lane::compute, "experts down wgrad");
  EXPECT_LE(trace.end[dispatch.value], trace.start[experts.value]);
  EXPECT_TRUE(step.graph.dependencies(weight).empty());
}

// On even load every replica does what the folded one does, whatever groups it meets.
TEST(Lower, EveryGpuTakesAsLongAsTheFoldedOne) {
  for (const ContextParallelMethod method :
       {ContextParallelMethod::all_gather, ContextParallelMethod::ring, ContextParallelMethod::all_to_all}) {
    for (const TensorOverlap overlap : {TensorOverlap::none, TensorOverlap::bulk, TensorOverlap::pipelined}) {
      Scenario s = linear_pipeline(ScheduleKind::one_f_one_b, 2, moe_model(4));
      s.plan.tensor_parallel = 2;
      s.plan.sequence_parallel = true;
      s.plan.tensor_parallel_overlap = overlap;
      s.plan.context_parallel = 2;
      s.plan.context_parallel_method = method;
      s.plan.expert_parallel = 4;
      s.plan.recompute = {RecomputeModule::moe};
      const SimTime folded = run(LaidOutStep(s).lowered(Detail::runs).graph).makespan;
      s.fidelity = Fidelity::full;
      const LoweredStep full = LaidOutStep(s).lowered(Detail::runs);
      EXPECT_EQ(full.streams.size(), 16u);
      EXPECT_EQ(run(full.graph).makespan, folded);
    }
  }
}

// A machine whose kernels and collectives slow each other down.
Scenario crowded(Scenario s) {
  Stack& stack = s.calibration.stack;
  stack.collective_sms.value = 20;
  for (CollectiveCurve& c : s.calibration.collectives) c.sms = 20;
  stack.beside_communication_gemm.value = 1.07;
  stack.beside_communication_memory.value = 1.21;
  stack.beside_compute_communication.value = 1.2;
  return s;
}

TEST(Lower, WhatRunsBesideCommunicationIsSlowerAndEveryGpuStillTakesAsLongAsTheFoldedOne) {
  for (const Sharding sharding : {Sharding::zero_1, Sharding::zero_2, Sharding::zero_3}) {
    for (const std::int64_t stages : {1, 2}) {
      if (stages > 1 && sharding == Sharding::zero_3) continue;
      Scenario s = linear_pipeline(ScheduleKind::one_f_one_b, stages, dense_model(4));
      s.plan.tensor_parallel = 2;
      s.plan.sequence_parallel = true;
      s.plan.sharding = sharding;
      s.plan.overlap_parameter_gather = sharding != Sharding::zero_3;
      s.plan.bucket_parameters = 1;
      const SimTime undisturbed = run(LaidOutStep(s).lowered(Detail::runs).graph).makespan;
      s = crowded(s);
      const SimTime folded = run(LaidOutStep(s).lowered(Detail::runs).graph).makespan;
      EXPECT_GT(folded, undisturbed);
      EXPECT_EQ(run(LaidOutStep(s).lowered(Detail::kernels).graph).makespan, folded) << "whatever is shown of it";
      s.fidelity = Fidelity::full;
      EXPECT_EQ(run(LaidOutStep(s).lowered(Detail::runs).graph).makespan, folded);
    }
  }
}

TEST(Lower, WithoutCommunicationBesideThemKernelsAreAlone) {
  Scenario s = linear_pipeline(ScheduleKind::one_f_one_b, 2, dense_model(4));
  s.plan.overlap_gradient_reduce = false;
  const SimTime undisturbed = run(LaidOutStep(s).lowered(Detail::runs).graph).makespan;
  EXPECT_EQ(run(LaidOutStep(crowded(s)).lowered(Detail::runs).graph).makespan, undisturbed);
}

TEST(Lower, AnyRankOrderFolds) {
  for (const char* order : {"tp-cp-ep-dp-pp", "cp-tp-dp-ep-pp", "dp-cp-ep-tp-pp", "tp-pp-cp-ep-dp"}) {
    Scenario s = linear_pipeline(ScheduleKind::one_f_one_b, 2, moe_model(4));
    s.plan.tensor_parallel = 2;
    s.plan.sequence_parallel = true;
    s.plan.context_parallel = 2;
    s.plan.expert_parallel = 2;
    s.plan.expert_tensor_parallel = 2;
    s.plan.overlap_parameter_gather = true;
    s.plan.sharding_group = 2;
    s.plan.rank_order = *rank_order_of_text(order);
    const SimTime folded = run(LaidOutStep(s).lowered(Detail::runs).graph).makespan;
    s.fidelity = Fidelity::full;
    EXPECT_EQ(run(LaidOutStep(s).lowered(Detail::runs).graph).makespan, folded) << order;
  }
}

TEST(Lower, KernelsRunOnTheSmsThatExchangesLeave) {
  Scenario s = linear_pipeline(ScheduleKind::one_f_one_b, 2, moe_model(8));
  const Timing timing(s.calibration, s.cluster);
  EXPECT_EQ(kernel_conditions(s, timing).sms, 100);
  s.plan.expert_parallel = 8;
  EXPECT_EQ(kernel_conditions(s, timing).sms, 100) << "nothing runs beside its exchanges";
  s.plan.schedule = ScheduleKind::dualpipe;
  EXPECT_EQ(kernel_conditions(s, timing).sms, 100 - timing.sms_held(CollectiveKind::expert_dispatch));
  EXPECT_EQ(kernel_conditions(s, timing).load, Load::sustained);
}

}  // namespace
}  // namespace trillion::lower_test
