// Offloading to the host. The algebra:
//   activations  each decoder layer's leave once after its forward pass and come back once before its backward pass, in the same bytes
//   beside       with a host that is fast enough the step takes as long as without; a slow one makes it wait
//   room         at most two layers' copies are under way: a layer starts when the copy of the one before the last has left
//   optimizer    gradients out, the update, parameters in, block by block; nothing is updated on the GPU
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/engine/engine.h"
#include "tests/support/block_setting.h"
#include "tests/support/laid_out_step.h"

namespace trillion::lower_offload_test {
namespace {

using namespace testing_support;

Scenario pipeline(std::vector<Offload> offload, double host_rate, ScheduleKind schedule = ScheduleKind::one_f_one_b) {
  Plan plan;
  plan.schedule = schedule;
  plan.pipeline_parallel = 2;
  plan.offload = std::move(offload);
  Scenario s = linear_scenario(dense_model(8), plan, 2, 8 * 4);
  s.calibration.stack.host_to_device.value = s.calibration.stack.device_to_host.value = BytesPerSecond{host_rate};
  return s;
}

std::vector<TaskId> on(const LoweredStep& step, std::size_t gpu, Lane lane) {
  std::vector<TaskId> out;
  for (const TaskId t : step.graph.tasks_of(step.streams[gpu][static_cast<std::size_t>(lane)])) out.push_back(t);
  return out;
}

double busy(const LoweredStep& step, const Trace& trace, std::size_t gpu, Lane lane) {
  double sum = 0;
  for (const TaskId t : on(step, gpu, lane)) sum += (trace.end[t.value] - trace.start[t.value]).seconds().value();
  return sum;
}

TEST(Offload, ActivationsTravelOnceEachWay) {
  for (const ScheduleKind schedule : {ScheduleKind::one_f_one_b, ScheduleKind::gpipe, ScheduleKind::zb_h1, ScheduleKind::dualpipe}) {
    const LaidOutStep laid(pipeline({Offload::activations}, 100e9, schedule));
    const LoweredStep step = laid.lowered();
    const Trace trace = run(step.graph);
    const double layer = saved_bytes(laid.block(BlockKind::dense_layer), {}).value();
    const double layers = 4 * static_cast<double>(laid.schedule.micro_batches);  // DualPipe: two stages, half of the micro-batches each
    for (std::size_t gpu = 0; gpu < 2; ++gpu) {
      const auto out = on(step, gpu, Lane::host_out), in = on(step, gpu, Lane::host_in);
      EXPECT_EQ(out.size(), static_cast<std::size_t>(layers));
      EXPECT_EQ(in.size(), out.size());
      EXPECT_NEAR(busy(step, trace, gpu, Lane::host_out) * 100e9 / (layers * layer), 1, 1e-6);
      EXPECT_NEAR(busy(step, trace, gpu, Lane::host_in) * 100e9 / (layers * layer), 1, 1e-6);
    }
  }
}

TEST(Offload, AFastHostCostsNothingAndASlowOneMakesTheStepWait) {
  const SimTime without = run(LaidOutStep(pipeline({}, 1)).lowered().graph).makespan;
  const SimTime fast = run(LaidOutStep(pipeline({Offload::activations}, 1e15)).lowered().graph).makespan;
  const SimTime slow = run(LaidOutStep(pipeline({Offload::activations}, 5e9)).lowered().graph).makespan;
  EXPECT_NEAR(fast.seconds() / without.seconds(), 1, 1e-4);
  EXPECT_GT(slow.seconds() / without.seconds(), 2);
}

TEST(Offload, ALayerWaitsForRoomAndForItsActivations) {
  const LoweredStep step = LaidOutStep(pipeline({Offload::activations}, 20e9)).lowered();
  const Trace trace = run(step.graph);
  const auto out = on(step, 1, Lane::host_out), in = on(step, 1, Lane::host_in);
  std::vector<TaskId> forward, backward;
  for (const TaskId t : on(step, 1, Lane::compute)) {
    if (step.graph.kind_of(t).label == "attention norm") forward.push_back(t);
    if (step.graph.kind_of(t).label == "ffn down dgrad") backward.push_back(t);
  }
  ASSERT_EQ(forward.size(), out.size());
  ASSERT_EQ(backward.size(), in.size());
  for (std::size_t l = 0; l + 2 < 4; ++l) EXPECT_GE(trace.start[forward[l + 2].value], trace.end[out[l].value]);
  for (std::size_t l = 0; l < in.size(); ++l) EXPECT_GE(trace.start[backward[l].value], trace.end[in[l].value]);
  EXPECT_GE(trace.start[in[3].value], trace.end[out[0].value]);  // the first layer's come back last
}

TEST(Offload, TheHostUpdatesBlockByBlock) {
  Scenario s = pipeline({Offload::optimizer}, 20e9);
  const LaidOutStep laid(s);
  const LoweredStep step = laid.lowered();
  const Trace trace = run(step.graph);
  for (const TaskId t : on(step, 1, Lane::compute)) EXPECT_NE(step.graph.kind_of(t).label, "optimizer update");
  const auto out = on(step, 1, Lane::host_out), update = on(step, 1, Lane::host_update), in = on(step, 1, Lane::host_in);
  ASSERT_EQ(out.size(), laid.cut.stages[1].size());
  ASSERT_EQ(update.size(), out.size());
  ASSERT_EQ(in.size(), out.size());
  double shard = 0;
  for (const BlockKind k : laid.cut.stages[1]) shard += laid.block(k).parameters.total() / 8;
  EXPECT_NEAR(busy(step, trace, 1, Lane::host_out) * 20e9 / (4 * shard), 1, 1e-6);
  EXPECT_NEAR(busy(step, trace, 1, Lane::host_in) * 20e9 / (2 * shard), 1, 1e-6);
  EXPECT_NEAR(busy(step, trace, 1, Lane::host_update) / laid.timing.host_update(shard).time.value(), 1, 1e-6);
  for (std::size_t b = 0; b < out.size(); ++b) {
    EXPECT_GE(trace.start[update[b].value], trace.end[out[b].value]);
    EXPECT_GE(trace.start[in[b].value], trace.end[update[b].value]);
  }
  EXPECT_LT(trace.start[out[1].value], trace.end[update[0].value]) << "the next block's gradients leave meanwhile";
}

TEST(Offload, TheHostHoldsWhatTheGpuDoesNot) {
  const std::vector<StageMemory> all = LaidOutStep(pipeline({}, 1e9)).memory();
  const std::vector<StageMemory> both = LaidOutStep(pipeline({Offload::optimizer, Offload::activations}, 1e9)).memory();
  const double layer = saved_bytes(LaidOutStep(pipeline({}, 1e9)).block(BlockKind::dense_layer), {}).value();
  for (std::size_t r = 0; r < 2; ++r) {
    EXPECT_EQ(both[r].optimizer, Bytes{});
    EXPECT_DOUBLE_EQ((both[r].host + both[r].activations).value(), (all[r].optimizer + all[r].activations).value());
    EXPECT_DOUBLE_EQ((both[r].buffers - all[r].buffers).value(), 2 * layer);
    EXPECT_LT(both[r].peak(), all[r].peak());
    EXPECT_EQ(all[r].host, Bytes{});
  }
}

}  // namespace
}  // namespace trillion::lower_offload_test
