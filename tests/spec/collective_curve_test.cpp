// Collectives: the equations of collective_curve.h, checked by hand on small numbers.
#include "sim/spec/collective_curve.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/spec/nccl_between_nodes.h"

namespace trillion::collective_curve_test {
namespace {

CollectiveCurve plain_collective(CollectiveKind kind) {
  CollectiveCurve c;
  c.kind = kind;
  c.base = Seconds{5e-6};
  c.nvlink_step = Seconds{1e-6};
  c.nic_step = Seconds{4e-6};
  c.nvlink = BytesPerSecond{100e9};
  c.nic = BytesPerSecond{10e9};
  return c;
}

double collective(CollectiveKind kind, double bytes, std::int64_t ranks, std::int64_t per_node) {
  const CollectiveCurve c = plain_collective(kind);
  return evaluate(c, {kind, Bytes{bytes}, ranks, per_node, {}}, {c.nvlink, c.nic}).value();
}

TEST(CollectiveCurve, CollectivesFollowTheirClosedForms) {
  using enum CollectiveKind;
  EXPECT_NEAR(collective(all_gather, 8e9, 8, 8), 5e-6 + 7e-6 + 7.0 / 8 * 8e9 / 100e9, 1e-12);
  EXPECT_NEAR(collective(reduce_scatter, 8e9, 8, 8), collective(all_gather, 8e9, 8, 8), 1e-15);
  EXPECT_NEAR(collective(all_reduce, 8e9, 8, 8), 5e-6 + 14e-6 + 14.0 / 8 * 8e9 / 100e9, 1e-12);
  // 16 ranks on 2 nodes: 8 NICs of 10 GB/s are slower than NVLink; 15 steps, one of them between nodes.
  EXPECT_NEAR(collective(all_gather, 16e9, 16, 8), 5e-6 + 14e-6 + 4e-6 + 15.0 / 16 * 16e9 / 80e9, 1e-12);
  // All-to-all: the NIC carries what leaves the node.
  EXPECT_NEAR(collective(all_to_all, 16e9, 16, 8), 5e-6 + 7e-6 + 8 * 4e-6 + 8.0 / 16 * 16e9 / 10e9, 1e-12);
  EXPECT_NEAR(collective(send_recv, 1e9, 2, 2), 5e-6 + 1e-6 + 1e9 / 100e9, 1e-12);
  EXPECT_NEAR(collective(send_recv, 1e9, 2, 1), 5e-6 + 4e-6 + 1e9 / 10e9, 1e-12);
  EXPECT_EQ(collective(all_reduce, 1e9, 1, 1), 0);
}

TEST(CollectiveCurve, APipelineCostsTwiceTheRootOfItsTwoTimes) {
  CollectiveCurve c = plain_collective(CollectiveKind::send_recv);
  c.pipeline = Seconds{1e-6};
  const double wire = 1e9 / 100e9;
  EXPECT_NEAR(evaluate(c, {c.kind, Bytes{1e9}, 2, 2, {}}, {c.nvlink, c.nic}).value(), 6e-6 + wire + 2 * std::sqrt(wire * 1e-6), 1e-12);
}

TEST(CollectiveCurve, ARanksOwnDataCostsTimeOnOneNode) {
  CollectiveCurve c = plain_collective(CollectiveKind::all_gather);
  const auto time = [&](std::int64_t per_node) { return evaluate(c, {c.kind, Bytes{8e9}, 8, per_node, {}}, {c.nvlink, c.nic}).value(); };
  const double without = time(8), apart = time(4);
  c.local = BytesPerSecond{1e12};
  EXPECT_NEAR(time(8), without + 1e9 / 1e12, 1e-12);
  EXPECT_EQ(time(4), apart);
}

TEST(CollectiveCurve, CollectiveKnotsAreWhatWasMeasuredAndScaleAsTheClosedFormDoes) {
  const CollectiveCurve form = plain_collective(CollectiveKind::all_reduce);
  CollectiveCurve c = form;
  c.knots = {{2, {1e6, 4e6}, {2e-5, 8e-5}}, {4, {1e6, 4e6}, {3e-5, 9e-5}}};
  const auto time = [&](const CollectiveCurve& curve, double bytes, std::int64_t ranks, std::int64_t per_node, double nvlink) {
    return evaluate(curve, {c.kind, Bytes{bytes}, ranks, per_node, {}}, {BytesPerSecond{nvlink}, c.nic}).value();
  };
  EXPECT_NEAR(time(c, 1e6, 2, 2, 100e9), 2e-5, 1e-15);
  EXPECT_NEAR(time(c, 2e6, 2, 2, 100e9), 4e-5, 1e-15);  // log-log
  EXPECT_NEAR(time(c, 4e6, 4, 4, 100e9), 9e-5, 1e-15);
  // Beyond the knots, for other group sizes and for other links: in the proportion of the closed form.
  EXPECT_NEAR(time(c, 4e9, 2, 2, 100e9) / time(form, 4e9, 2, 2, 100e9), 8e-5 / time(form, 4e6, 2, 2, 100e9), 1e-9);
  EXPECT_NEAR(time(c, 4e6, 8, 8, 100e9) / time(form, 4e6, 8, 8, 100e9), 9e-5 / time(form, 4e6, 4, 4, 100e9), 1e-9);
  EXPECT_NEAR(time(c, 4e6, 2, 2, 50e9) / time(form, 4e6, 2, 2, 50e9), 8e-5 / time(form, 4e6, 2, 2, 100e9), 1e-9);
  // Between nodes nothing was measured.
  EXPECT_EQ(time(c, 4e6, 16, 8, 100e9), time(form, 4e6, 16, 8, 100e9));
}

TEST(CollectiveCurve, WhatTheSwitchAddsIsWhatWasMeasuredThereAndScalesAsItsFormDoes) {
  CollectiveCurve c = plain_collective(CollectiveKind::all_reduce);
  c.nvlink = BytesPerSecond{370e9};
  c.switch_knots = {{8, {16e6, 256e6}, {130e-6, 1e-3}}};
  const auto time = [&](double bytes, std::int64_t ranks, double links, Nvls nvls) {
    return evaluate(c, {c.kind, Bytes{bytes}, ranks, ranks, {}},
                    {c.nvlink * links, c.nic, nccl_links(BytesPerSecond{450e9} * links, 90, nvls)})
        .value();
  };
  const auto form = [](double bytes, std::int64_t ranks, double links) {
    return nvls_seconds(Bytes{bytes}, ranks, nccl_links(BytesPerSecond{450e9} * links, 90, Nvls::enabled)).value();
  };
  EXPECT_NEAR(time(256e6, 8, 1, Nvls::enabled), 1e-3, 1e-15);
  EXPECT_NEAR(time(1e9, 8, 1, Nvls::enabled) / form(1e9, 8, 1), 1e-3 / form(256e6, 8, 1), 1e-12);
  EXPECT_NEAR(time(256e6, 8, 0.5, Nvls::enabled) / form(256e6, 8, 0.5), 1e-3 / form(256e6, 8, 1), 1e-12);
  EXPECT_GT(time(256e6, 8, 1, Nvls::disabled), 1.1e-3);
}

TEST(CollectiveCurve, BetweenNodesNcclsOwnModelSpeaksWhereItIsKnown) {
  const CollectiveCurve c = plain_collective(CollectiveKind::all_gather);
  const NcclLinks nccl = nccl_links(BytesPerSecond{450e9}, 90);
  const Collective gather{c.kind, Bytes{16e9}, 16, 8, {}};
  const NodeGroup group{16, 8, c.nvlink, c.nic * 8.0};
  EXPECT_EQ(evaluate(c, gather, {c.nvlink, c.nic, nccl}), nccl_between_nodes(c.kind, gather.bytes, group, nccl).time);
  EXPECT_EQ(algorithm_of(gather, {c.nvlink, c.nic, nccl}), "ring Simple");
  EXPECT_EQ(algorithm_of(gather, {c.nvlink, c.nic}), "");
}

TEST(CollectiveCurve, ExpertsWaitForNicOrNvlinkWhicheverIsLater) {
  ExpertCurve c;
  c.latency = Seconds{10e-6};
  const GroupLinks links{BytesPerSecond{100e9}, BytesPerSecond{25e9}};
  EXPECT_NEAR(evaluate(c, {c.kind, Bytes{100e6}, 64, 8, Bytes{200e6}}, links).value(), 10e-6 + 4e-3, 1e-12);
  EXPECT_NEAR(evaluate(c, {c.kind, Bytes{0}, 8, 8, Bytes{200e6}}, links).value(), 10e-6 + 2e-3, 1e-12);
}

}  // namespace
}  // namespace trillion::collective_curve_test
