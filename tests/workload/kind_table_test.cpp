// From operations to task kinds. The algebra:
//   wires     a ring over n members carries (n - 1) / n of the buffer past every member, twice for an all-reduce; of a node's g
//             members each sends 1 / g of its node's share to the next node; an all-to-all sends 1 / n of the buffer to each other
//   load      rows and bytes of routed work grow with the busiest rank, an exchange's with the busiest NIC and receiver
//   interned  equal operations at equal load are one kind; a kernel lasts its time and the gap after it, a communication its time
#include "sim/workload/kind_table.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/workload/linear.h"
#include "tests/support/block_setting.h"

namespace trillion::kind_table_test {
namespace {

using namespace testing_support;

WireBytes wires(CollectiveKind kind, std::int64_t ranks, std::int64_t per_node) {
  return wire_bytes({.kind = kind, .bytes = Bytes{6400}, .ranks = ranks, .ranks_per_node = per_node, .scale_up_bytes = Bytes{100}});
}

TEST(WireBytes, RingsPassTheBufferOverEveryMemberButOne) {
  using enum CollectiveKind;
  for (const CollectiveKind kind : {all_gather, reduce_scatter, all_reduce}) {
    const double passes = kind == all_reduce ? 2 : 1;
    for (const std::int64_t per_node : {1, 2, 8, 16, 64}) {
      const WireBytes w = wires(kind, 64, per_node);
      EXPECT_DOUBLE_EQ((w.nic + w.nvlink).value(), passes * 6400 * 63 / 64) << per_node;
      // Each of the node's rings leaves it once, unless the node is all there is.
      EXPECT_DOUBLE_EQ(w.nic.value() * static_cast<double>(per_node), per_node == 64 ? 0 : passes * 6400 * 63 / 64) << per_node;
    }
    EXPECT_EQ(wires(kind, 8, 8).nic, Bytes{});
    EXPECT_EQ(wires(kind, 8, 1).nvlink, Bytes{});
    EXPECT_EQ(wires(kind, 1, 1).nvlink, Bytes{});
  }
}

TEST(WireBytes, AnAllToAllSendsEveryOtherMemberItsPart) {
  const WireBytes two_nodes = wires(CollectiveKind::all_to_all, 16, 8);
  EXPECT_DOUBLE_EQ(two_nodes.nic.value(), 6400.0 * 8 / 16);
  EXPECT_DOUBLE_EQ(two_nodes.nvlink.value(), 6400.0 * 7 / 16);
  const WireBytes one_node = wires(CollectiveKind::all_to_all, 8, 8);
  EXPECT_EQ(one_node.nic, Bytes{});
  EXPECT_DOUBLE_EQ(one_node.nvlink.value(), 6400.0 * 7 / 8);
}

TEST(WireBytes, NeighboursSendTheBufferOnceOverTheLinkBetweenThem) {
  EXPECT_EQ(wires(CollectiveKind::send_recv, 2, 2).nvlink, Bytes{6400});
  EXPECT_EQ(wires(CollectiveKind::send_recv, 2, 2).nic, Bytes{});
  EXPECT_EQ(wires(CollectiveKind::send_recv, 2, 1).nic, Bytes{6400});
  // A ring of 16 over two nodes: of a node's eight members one sends to the other node.
  EXPECT_EQ(wires(CollectiveKind::send_recv, 16, 8).nic, Bytes{800});
  EXPECT_EQ(wires(CollectiveKind::send_recv, 16, 8).nvlink, Bytes{5600});
}

TEST(WireBytes, AnExpertExchangeSaysItself) {
  const WireBytes w = wires(CollectiveKind::expert_dispatch, 64, 8);
  EXPECT_EQ(w.nic, Bytes{6400});
  EXPECT_EQ(w.nvlink, Bytes{100});
}

LayerRouting routing(double rank_load, double scale_out) {
  LayerRouting r;
  r.rank_load_max_over_mean = rank_load;
  r.scale_out_max_over_mean = scale_out;
  return r;
}

TEST(AtLoad, RowsAreRoundedUp) {
  const Operation op{"experts", Category::experts, Lane::compute, GroupedGemm{.m = {100, 3, 0}, .n = 8, .k = 8}, LoadScale::rank_load};
  EXPECT_EQ(std::get<GroupedGemm>(at_load(op, routing(1.5, 1)).what).m, (std::vector<std::int64_t>{150, 5, 0}));
  EXPECT_EQ(at_load(op, routing(1, 1)).what, op.what);
}

TEST(AtLoad, WorkThatIsNotRoutedStays) {
  const Operation op = memory_operation("norm", Category::norm_and_elementwise, MemoryKernel::rms_norm, Bytes{10}, Bytes{10});
  EXPECT_EQ(at_load(op, routing(2, 2)).what, op.what);
}

TEST(AtLoad, AnExchangeFollowsTheBusiestNicAndReceiver) {
  const Collective c{
      .kind = CollectiveKind::expert_dispatch, .bytes = Bytes{10}, .ranks = 16, .ranks_per_node = 8, .scale_up_bytes = Bytes{20}};
  const Operation op{"dispatch", Category::expert_all_to_all, Lane::expert, c, LoadScale::exchange};
  const auto loaded = std::get<Collective>(at_load(op, routing(1.5, 3)).what);
  EXPECT_EQ(loaded.bytes, Bytes{30});
  EXPECT_EQ(loaded.scale_up_bytes, Bytes{30});
}

class Kinds : public testing::Test {
 protected:
  Kinds()
      : calibration_(linear_calibration()),
        cluster_(linear_cluster(2)),
        timing_(calibration_, cluster_),
        table_(graph_, timing_, {.sms = 0, .load = Load::sustained}, {Seconds{1e-6}, {}, {}, {}}) {}

  double seconds(KindId id) const { return graph_.kind(id).duration.seconds().value(); }

  Calibration calibration_;
  Cluster cluster_;
  Timing timing_;
  TaskGraph graph_;
  KindTable table_;
};

Operation exchange() {
  const Collective c{
      .kind = CollectiveKind::expert_dispatch, .bytes = Bytes{5e6}, .ranks = 16, .ranks_per_node = 8, .scale_up_bytes = Bytes{2e6}};
  return {"dispatch", Category::expert_all_to_all, Lane::expert, c, LoadScale::exchange};
}

TEST_F(Kinds, EqualOperationsAreOneKind) {
  const Operation small = memory_operation("norm", Category::norm_and_elementwise, MemoryKernel::rms_norm, Bytes{3e6}, Bytes{3e6});
  const Operation large = memory_operation("norm", Category::norm_and_elementwise, MemoryKernel::rms_norm, Bytes{6e6}, Bytes{6e6});
  const KindId first = table_.kind(small);
  EXPECT_EQ(table_.kind(small), first);
  EXPECT_EQ(table_.kind(small, routing(2, 2)), first);  // not routed
  EXPECT_NE(table_.kind(large), first);
  EXPECT_EQ(table_.evidence().size(), graph_.kind_count());
  EXPECT_EQ(graph_.kind_count(), 2u);
}

TEST_F(Kinds, AKernelLastsItsTimeAndTheGap) {
  const Operation op = memory_operation("norm", Category::norm_and_elementwise, MemoryKernel::rms_norm, Bytes{3e6}, Bytes{3e6});
  EXPECT_NEAR(seconds(table_.kind(op)), 6e6 / 3e12 + 1e-6, 2e-12);
  EXPECT_EQ(graph_.kind(table_.kind(op)).tag, static_cast<std::uint16_t>(Category::norm_and_elementwise));
}

TEST_F(Kinds, ACommunicationHasNoGap) {
  const Operation op{
      "send", Category::pipeline_p2p, Lane::pipeline_forward,
      Collective{.kind = CollectiveKind::send_recv, .bytes = Bytes{5e6}, .ranks = 2, .ranks_per_node = 1, .scale_up_bytes = {}}};
  EXPECT_NEAR(seconds(table_.kind(op)), 5e6 / 50e9, 2e-12);
}

TEST_F(Kinds, LoadMakesADifferentKindAndRemembersTheEvenTime) {
  const KindId even = table_.kind(exchange()), busy = table_.kind(exchange(), routing(2, 2));
  EXPECT_NE(even, busy);
  EXPECT_NEAR(seconds(busy), 2 * seconds(even), 1e-11);
  EXPECT_EQ(table_.evidence()[busy.value].balanced, graph_.kind(even).duration);
  EXPECT_EQ(table_.evidence()[even.value].balanced, graph_.kind(even).duration);
}

TEST_F(Kinds, AnExchangeUsesTheLinksOfBothEnds) {
  const RankLinks a{graph_.add_link("a send", BytesPerSecond{50e9}), graph_.add_link("a receive", BytesPerSecond{50e9}),
                    graph_.add_link("a nvlink", BytesPerSecond{200e9})};
  const RankLinks b{graph_.add_link("b send", BytesPerSecond{50e9}), graph_.add_link("b receive", BytesPerSecond{50e9}),
                    graph_.add_link("b nvlink", BytesPerSecond{200e9})};
  const std::vector<LinkUse> used =
      graph_.kind(table_.kind_on_links(exchange(), table_.timed(exchange(), routing(1.5, 2), Runner::kBusiest), a, b)).links;
  const std::vector<LinkUse> expected = {{a.nic_send, Bytes{1e7}}, {b.nic_receive, Bytes{1e7}}, {a.nvlink, Bytes{3e6}}};
  EXPECT_EQ(used, expected);
}

// linear_calibration: 24 of 100 SMs are held, a product takes 1.1 times as long beside communication, a copy 1.25 times, and the
// communication 1.2 times beside kernels.
TEST_F(Kinds, InCompanyAKernelHasFewerSmsAndAShareOfTheRest) {
  calibration_.stack.collective_sms.value = 24;
  calibration_.stack.beside_communication_gemm.value = 1.1;
  calibration_.stack.beside_communication_memory.value = 1.25;
  calibration_.stack.beside_compute_communication.value = 1.2;
  for (CollectiveCurve& c : calibration_.collectives) c.sms = 0;
  const Timing timing(calibration_, cluster_);
  TaskGraph graph;
  KindTable kinds(graph, timing, {.sms = 100, .load = Load::sustained}, {Seconds{1e-6}, {}, {}, {}});
  const auto in_company = [&](const Operation& op) { return graph.kind(kinds.kind(op, kinds.timed(op, {}, 0, Company::shared), 1)); };
  const Operation gemm{"projection", Category::attention, Lane::compute, Gemm{DType::bf16, 4096, 4096, 4096, GemmLayout::forward, false}};
  const Operation norm = memory_operation("norm", Category::norm_and_elementwise, MemoryKernel::rms_norm, Bytes{3e8}, Bytes{3e8});
  for (const auto& [op, factor] : {std::pair{gemm, 1.1}, std::pair{norm, 1.25}}) {
    const auto time = [&, &what = op](std::int64_t sms) {
      const Conditions conditions{.sms = sms, .load = Load::sustained};
      return std::visit(
          [&](const auto& k) -> double {
            if constexpr (std::is_same_v<std::decay_t<decltype(k)>, Collective>)
              return 0;
            else
              return timing.time(Kernel{k}, conditions).time.value();
          },
          what.what);
    };
    const TaskKind kind = in_company(op);
    EXPECT_EQ(kind.side, Side::kernel);
    EXPECT_EQ(kind.duration, graph.kind(kinds.kind(op)).duration) << "alone it is as fast as ever";
    EXPECT_NEAR(kind.duration.seconds().value() / kind.beside, time(76) * factor + 1e-6, 1e-9) << op.label;
  }
  const Operation gather{
      "gather", Category::parameter_gather, Lane::gather,
      Collective{.kind = CollectiveKind::all_gather, .bytes = Bytes{1e8}, .ranks = 8, .ranks_per_node = 8, .scale_up_bytes = {}}};
  EXPECT_EQ(in_company(gather).side, Side::transfer);
  EXPECT_NEAR(in_company(gather).beside, 1 / 1.2, 1e-12);
  EXPECT_EQ(graph.kind(kinds.kind(gather)).side, Side::none);
  // Over two nodes, three ranks each wait for three NICs of 50 GB/s where NVLink has 200: that hides what the GPUs lose.
  Operation between = gather;
  std::get<Collective>(between.what).ranks = 6;
  std::get<Collective>(between.what).ranks_per_node = 3;
  EXPECT_EQ(in_company(between).side, Side::transfer);
  EXPECT_EQ(in_company(between).beside, 1);
  EXPECT_EQ(in_company(exchange()).side, Side::none) << "its SMs are set aside";
}

// Issue and wait lie between the kernels; collectives are waited for, and issued with the kernel after them.
TEST_F(Kinds, AHostThatWaitsForEachKernelNeverRunsAhead) {
  Stack& stack = calibration_.stack;
  stack.host_product.value = Seconds{20e-6};
  stack.host_elementwise.value = Seconds{10e-6};
  stack.host_wait.value = Seconds{7e-6};
  stack.unfused.value = {UnfusedPart::blocking};
  TaskGraph graph;
  const Timing timing(calibration_, cluster_);
  KindTable kinds(graph, timing, {.sms = 100, .load = Load::sustained}, issue_costs(stack));
  KindTable alone(graph, timing, {.sms = 100, .load = Load::sustained}, {});
  Operation gemm{"projection", Category::attention, Lane::compute, Gemm{DType::bf16, 4096, 4096, 4096, GemmLayout::forward, false}};
  gemm.host_calls = 3;
  const auto beyond = [&](const Operation& op) {
    return (graph.kind(kinds.kind(op)).duration.seconds() - graph.kind(alone.kind(op)).duration.seconds()).value();
  };
  EXPECT_NEAR(beyond(gemm), 20e-6 + 3 * 10e-6 + 7e-6, 1e-11);
  const Operation gather{
      "gather", Category::tensor_parallel, Lane::tensor,
      Collective{.kind = CollectiveKind::all_gather, .bytes = Bytes{1e8}, .ranks = 8, .ranks_per_node = 8, .scale_up_bytes = {}}};
  EXPECT_NEAR(beyond(gather), 7e-6, 1e-11);
  EXPECT_FALSE(kinds.launch_of(gemm).valid());
}

TEST(HoldsSms, WhatCopyEnginesAndNicsMoveDoesNot) {
  Operation op{"", Category::tensor_parallel, Lane::tensor,
               Collective{.kind = CollectiveKind::all_gather, .bytes = Bytes{1}, .ranks = 8, .ranks_per_node = 8, .scale_up_bytes = {}}};
  auto& c = std::get<Collective>(op.what);
  EXPECT_TRUE(holds_sms(op));
  c.kind = CollectiveKind::send_recv;
  op.copy_engine = true;
  EXPECT_FALSE(holds_sms(op)) << "a piece beside its own GEMM";
  op.copy_engine = false;
  op.lane = Lane::pipeline_forward;
  EXPECT_TRUE(holds_sms(op));
  c.ranks_per_node = 1;
  EXPECT_FALSE(holds_sms(op));
  c.kind = CollectiveKind::reduce_scatter;
  EXPECT_FALSE(holds_sms(op)) << "one rank a node: NCCL's four channels for one NIC";
  c.ranks_per_node = 4;
  EXPECT_TRUE(holds_sms(op));
  EXPECT_FALSE(holds_sms(memory_operation("norm", Category::gate, MemoryKernel::copy, Bytes{1}, Bytes{1})));
}

TEST_F(Kinds, EvidenceKnowsWorkWiresAndInterval) {
  const Operation gemm{"projection", Category::attention, Lane::compute, Gemm{DType::bf16, 512, 256, 128, GemmLayout::forward, false}};
  const Evidence work = table_.evidence()[table_.kind(gemm).value];
  EXPECT_EQ(work.work, Flops{2.0 * 512 * 256 * 128});
  EXPECT_EQ(work.wire.nic, Bytes{});
  EXPECT_EQ(timing_.curve(work.curve).name, "gemm bf16 forward sustained");
  EXPECT_LE(work.low, 1.0f);
  EXPECT_GE(work.high, 1.0f);
  const Evidence sent = table_.evidence()[table_.kind(exchange()).value];
  EXPECT_EQ(sent.work, Flops{});
  EXPECT_EQ(sent.wire.nic, Bytes{5e6});
}

TEST(KindTable, JitterKeepsTheMeanAndHasItsDeviation) {
  TaskGraph graph;
  const Scenario s = linear_scenario(dense_model(2), {}, 1, 1);
  const Timing timing(s.calibration, s.cluster);
  KindTable kinds(graph, timing, {.sms = s.cluster.gpu.sms, .load = Load::sustained}, {});
  const KindId a = kinds.kind(memory_operation("a", Category::gate, MemoryKernel::copy, Bytes{1e9}, Bytes{1e9}));
  const double alone = graph.kind(a).duration.seconds().value();
  double sum = 0, square = 0;
  for (std::int32_t level = 0; level < KindTable::kJitterLevels; ++level) {
    const double off = graph.kind(kinds.jittered(a, 0.1, level)).duration.seconds().value() / alone - 1;
    sum += off;
    square += off * off / KindTable::kJitterLevels;
  }
  EXPECT_NEAR(sum, 0, 1e-6);
  EXPECT_NEAR(std::sqrt(square), 0.1, 1e-6);
  // Four equal kernels vary half as much as one, relative to their time.
  const KindId b = kinds.kind(memory_operation("b", Category::gate, MemoryKernel::copy, Bytes{1e9}, Bytes{1e9}));
  const KindId run = kinds.run_of({a, b, a, b});
  const auto slowest = [&](KindId k) {
    return graph.kind(kinds.jittered(k, 0.1, KindTable::kJitterLevels - 1)).duration.seconds() / graph.kind(k).duration.seconds() - 1;
  };
  EXPECT_NEAR(slowest(run), slowest(a) / 2, 1e-6);
}

TEST(KindTable, ARunLastsAsLongAsItsParts) {
  TaskGraph graph;
  const Scenario s = linear_scenario(dense_model(2), {}, 1, 1);
  const Timing timing(s.calibration, s.cluster);
  KindTable kinds(graph, timing, {.sms = s.cluster.gpu.sms, .load = Load::sustained}, {Seconds{1e-6}, {}, {}, {}});
  const KindId a = kinds.kind(memory_operation("a", Category::optimizer, MemoryKernel::copy, Bytes{1e6}, Bytes{1e6}));
  const KindId b = kinds.kind(memory_operation("b", Category::gate, MemoryKernel::copy, Bytes{5e6}, Bytes{1e6}));
  const KindId ab = kinds.run_of({a, b}), ba = kinds.run_of({b, a});
  EXPECT_EQ(graph.kind(ab).duration, graph.kind(a).duration + graph.kind(b).duration);
  EXPECT_EQ(kinds.run_of({a, b}), ab);
  EXPECT_NE(ab, ba) << "equally long, but other kernels";
  EXPECT_EQ(kinds.run_of({a}), a);
  EXPECT_EQ(kinds.parts()[ab.value], (std::vector<KindId>{a, b}));
  EXPECT_TRUE(kinds.parts()[a.value].empty());
  EXPECT_EQ(kinds.evidence().size(), graph.kind_count());
}

}  // namespace
}  // namespace trillion::kind_table_test
