// Collectives in n pieces. The algebra:
//   work    the pieces' rows, FLOPs and bytes are those of the whole
//   wires   n - 1 sends of an n-th: what a ring's all-gather or reduce-scatter puts on its links
//   order   piece i + 1 of a gathered GEMM waits for send i; a scattered piece is added to after its send arrived
//   rest    collectives without a GEMM beside them, and everything else, stay as they are
#include "sim/workload/tensor_overlap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/engine/engine.h"
#include "sim/workload/kind_table.h"
#include "sim/workload/linear.h"
#include "tests/support/block_setting.h"
#include "tests/support/laid_out_step.h"

namespace trillion::tensor_overlap_test {
namespace {

using namespace testing_support;
using testing::ElementsAre;

Operation gemm(const char* label, std::int64_t rows) {
  return {label, Category::attention, Lane::compute, Gemm{.dtype = DType::bf16, .m = rows, .n = 512, .k = 256}};
}
Operation collective(const char* label, CollectiveKind kind) {
  return {label, Category::tensor_parallel, Lane::tensor,
          Collective{.kind = kind, .bytes = Bytes{4096}, .ranks = 4, .ranks_per_node = 4, .scale_up_bytes = {}}};
}

TEST(TensorOverlap, AGatherFeedsItsGemmPieceByPiece) {
  const Operations whole = {collective("gather", CollectiveKind::all_gather), gemm("up", 1026)};
  const Operations pieces = with_overlapped_collectives(whole, 4);
  EXPECT_THAT(labels(pieces), ElementsAre("gather piece", "gather piece", "gather piece", "up", "up", "up", "up"));
  for (std::size_t i = 3; i < 7; ++i) EXPECT_EQ(pieces[i].share, 0.25) << "together they fill the chip as the whole does";
  for (const Gemm& g : of_type<Gemm>(pieces)) EXPECT_EQ(g.m, 1026);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(pieces[i].copy_engine);
  for (const Collective& c : of_type<Collective>(pieces)) EXPECT_EQ(c.bytes, Bytes{1024});
  EXPECT_EQ(pieces[0].order, Order::ahead);
  EXPECT_EQ(pieces[3].order, Order::chain);  // its own rows are there
  for (std::size_t i = 4; i < 7; ++i) EXPECT_EQ(pieces[i].order, Order::meets);
  Bytes on_links;
  for (const Collective& c : of_type<Collective>(pieces)) on_links += wire_bytes(c).nvlink;
  EXPECT_EQ(on_links, wire_bytes(std::get<Collective>(whole[0].what)).nvlink);
}

TEST(TensorOverlap, CastsBeforeTheGemmAreCutWithIt) {
  const Operations pieces =
      with_overlapped_collectives({collective("gather", CollectiveKind::all_gather), cast_operation("cast", 4096), gemm("up", 1024)}, 4);
  EXPECT_THAT(labels(pieces),
              ElementsAre("gather piece", "gather piece", "gather piece", "cast", "up", "cast", "up", "cast", "up", "cast", "up"));
  EXPECT_EQ(pieces[3].share, 0.25);
  EXPECT_EQ(pieces[5].order, Order::meets);
  EXPECT_EQ(pieces[6].order, Order::chain);
}

TEST(TensorOverlap, AGemmDrainsIntoItsScatterPieceByPiece) {
  const Operations pieces = with_overlapped_collectives({gemm("down", 1024), collective("scatter", CollectiveKind::reduce_scatter)}, 4);
  EXPECT_THAT(labels(pieces),
              ElementsAre("down", "scatter piece", "down", "scatter piece", "down", "scatter piece", "down", "scatter sum of pieces"));
  for (const Operation& op : pieces) {
    EXPECT_EQ(op.order == Order::meets_all, op.label == "scatter sum of pieces");
  }
  const auto& sum = std::get<MemoryBound>(pieces.back().what);
  EXPECT_EQ(sum.read, Bytes{4096}) << "its own piece and what the others sent";
  EXPECT_EQ(sum.written, Bytes{1024});
}

TEST(TensorOverlap, SymmetricMemoryRunsEveryReaderOnEachPiece) {
  const Operations pieces = with_overlapped_collectives(
      {collective("gather", CollectiveKind::all_gather), gemm("q", 1024), gemm("k", 1024)}, 2, PieceLibrary::symmetric_memory);
  EXPECT_THAT(labels(pieces), ElementsAre("gather shared rows", "gather piece", "q", "k", "q", "k"));
  EXPECT_EQ(std::get<MemoryBound>(pieces[0].what).read, Bytes{2048});
  EXPECT_EQ(pieces[2].order, Order::chain);
  EXPECT_EQ(pieces[4].order, Order::meets);
}

TEST(TensorOverlap, SymmetricMemoryAddsPiecesBySlowMeans) {
  const Operations pieces = with_overlapped_collectives({gemm("down", 1024), collective("scatter", CollectiveKind::reduce_scatter)}, 4,
                                                        PieceLibrary::symmetric_memory);
  const auto& sum = std::get<MemoryBound>(pieces.back().what);
  EXPECT_EQ(sum.kernel, MemoryKernel::torch_mean);
  EXPECT_EQ(sum.read, Bytes{4096});
  EXPECT_EQ(sum.written, Bytes{8 * 1024}) << "a value written counts as eight";
}

TEST(TensorOverlap, SymmetricMemoryLeavesSumsOfSeveralProductsWhole) {
  const Operations ops = {gemm("q dgrad", 1024),
                          memory_operation("sum", Category::norm_and_elementwise, MemoryKernel::add, Bytes{1}, Bytes{1}),
                          collective("scatter", CollectiveKind::reduce_scatter)};
  EXPECT_EQ(labels(with_overlapped_collectives(ops, 4, PieceLibrary::symmetric_memory)), labels(ops));
  EXPECT_NE(labels(with_overlapped_collectives(ops, 4)), labels(ops));
}

TEST(TensorOverlap, WhatHasNoGemmBesideItStays) {
  const Operations ops = {collective("sum", CollectiveKind::all_reduce), gemm("a", 64), collective("gather", CollectiveKind::all_gather)};
  EXPECT_EQ(labels(with_overlapped_collectives(ops, 4)), labels(ops));
  const Operations fed = {collective("gather", CollectiveKind::all_gather), gemm("a", 64)};
  EXPECT_EQ(labels(with_overlapped_collectives(fed, 1)), labels(fed));
}

Scenario tensor_parallel(TensorOverlap overlap, bool sequence_parallel = true, ScheduleKind schedule = ScheduleKind::one_f_one_b) {
  Plan plan;
  plan.tensor_parallel = 8;
  plan.sequence_parallel = sequence_parallel;
  plan.tensor_parallel_overlap = overlap;
  plan.pipeline_parallel = 2;
  plan.schedule = schedule;
  return linear_scenario(dense_model(8), plan, 2, 4);
}

// More overlap never costs time, and the same work is done.
TEST(TensorOverlap, EachMoreOverlapTakesLess) {
  std::vector<double> time, gemms;
  for (const TensorOverlap overlap : {TensorOverlap::none, TensorOverlap::bulk, TensorOverlap::pipelined}) {
    const LaidOutStep laid(tensor_parallel(overlap));
    const LoweredStep step = laid.lowered();
    const Trace trace = run(step.graph);
    time.push_back(trace.makespan.seconds().value());
    double work = 0;
    for (std::uint32_t t = 0; t < step.graph.task_count(); ++t) work += step.evidence[step.graph.kind_id_of(TaskId{t}).value].work.value();
    gemms.push_back(work);
  }
  EXPECT_GT(time[0], time[1]);
  EXPECT_GT(time[1], time[2]);
  EXPECT_NEAR(gemms[1] / gemms[0], 1, 1e-12);
  EXPECT_NEAR(gemms[2] / gemms[0], 1, 1e-12);
}

// In bulk, the backward pass's last collective of a part runs beside the weight gradients, and the norm waits for it.
TEST(TensorOverlap, WeightGradientsRunBesideTheReductionOfTheInputs) {
  for (const bool sequence : {true, false}) {
    const LoweredStep step = LaidOutStep(tensor_parallel(TensorOverlap::bulk, sequence)).lowered();
    const Trace trace = run(step.graph);
    const std::string name = sequence ? "ffn reduce-scatter gradient" : "ffn all-reduce gradient";
    std::vector<TaskId> reductions, weights, norms;
    for (const TaskId t : step.graph.tasks_of(step.streams[1][static_cast<std::size_t>(Lane::tensor)])) {
      if (step.graph.kind_of(t).label == name) reductions.push_back(t);
    }
    for (const TaskId t : step.graph.tasks_of(step.streams[1][static_cast<std::size_t>(Lane::compute)])) {
      if (step.graph.kind_of(t).label == "ffn down wgrad") weights.push_back(t);
      if (step.graph.kind_of(t).label == "ffn norm backward") norms.push_back(t);
    }
    ASSERT_EQ(reductions.size(), weights.size());
    ASSERT_EQ(reductions.size(), norms.size());
    for (std::size_t i = 0; i < norms.size(); ++i) {
      EXPECT_LT(trace.start[weights[i].value], trace.end[reductions[i].value]);
      EXPECT_GE(trace.start[norms[i].value], trace.end[reductions[i].value]);
    }
  }
}

// A schedule that puts the weight gradients elsewhere has nothing to run beside the reduction.
TEST(TensorOverlap, SplitWeightGradientsLeaveTheReductionAlone) {
  const LaidOutStep bulk(tensor_parallel(TensorOverlap::bulk, false, ScheduleKind::zb_h1));
  const LaidOutStep none(tensor_parallel(TensorOverlap::none, false, ScheduleKind::zb_h1));
  EXPECT_EQ(run(bulk.lowered().graph).makespan, run(none.lowered().graph).makespan);
}

}  // namespace
}  // namespace trillion::tensor_overlap_test
