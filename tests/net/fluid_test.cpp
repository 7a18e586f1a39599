// The algebra of fluid transfers:
//   alone, a flow takes bytes / narrowest link; n equal flows over one link take n times as long
//   whatever the sizes, a link that is never idle ends with its last flow at (sum of bytes) / capacity
//   order of flows and splitting into unconnected parts change nothing
//   incast, cross-traffic and overlapping groups: max-min answers worked out by hand
#include "sim/net/fluid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "tests/net/support/clusters.h"

namespace trillion::fluid_test {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;

FluidProblem links(std::vector<double> capacities) {
  FluidProblem p;
  p.capacities = std::move(capacities);
  return p;
}

std::uint32_t path(FluidProblem& p, const std::vector<std::uint32_t>& over) {
  std::vector<FluidProblem::Use> uses;
  for (const std::uint32_t link : over) uses.push_back({link, 1});
  return p.add_path(uses);
}

TEST(Fluid, FlowsOfOneLinkEndInOrderOfTheirBytes) {
  FluidProblem p = links({10});
  const auto only = path(p, {0});
  p.flows = {{only, 30}, {only, 10}, {only, 10}};
  // Three at 10/3 until 3 s; then 20 bytes are left of one, at 10.
  EXPECT_THAT(flow_ends(p), ElementsAre(DoubleEq(5), DoubleEq(3), DoubleEq(3)));
}

TEST(Fluid, ALongFlowMeetsOneOnEachOfItsLinks) {
  // Cross-traffic: A over both links, B over the first, C over the second. All at 1/2. B ends at 2 s with 1 byte; A and C go on at
  // 1/2, for the second link holds A; C ends at 4 s; A's last byte of 3 then goes at 1.
  FluidProblem p = links({1, 1});
  const auto a = path(p, {0, 1}), b = path(p, {0}), c = path(p, {1});
  p.flows = {{a, 3}, {b, 1}, {c, 2}};
  EXPECT_THAT(flow_ends(p), ElementsAre(DoubleEq(5), DoubleEq(2), DoubleEq(4)));
}

TEST(Fluid, WhatANarrowLinkHoldsBackLeavesRoomElsewhere) {
  // X and Y share a link of 10, Y and Z one of 4: Y and Z at 2, X at 8. X's 16 bytes take 2 s; Y and Z 4 bytes, 2 s too.
  FluidProblem p = links({10, 4});
  const auto x = path(p, {0}), y = path(p, {0, 1}), z = path(p, {1});
  p.flows = {{x, 16}, {y, 4}, {z, 6}};
  EXPECT_THAT(flow_ends(p), ElementsAre(DoubleEq(2), DoubleEq(2), DoubleEq(2.5)));
}

TEST(FluidTransfers, IncastSharesTheReceiversNic) {
  // Seven nodes send 50 GB each to GPU 0 along rail 0; its NIC takes 50 GB/s.
  const Fabric fabric = Fabric::build(small_cluster(8));
  std::vector<Transfer> incast;
  for (std::int64_t node = 1; node < 8; ++node) incast.push_back({4 * node, 0, Bytes{50e9}});
  for (const Seconds end : transfer_ends(fabric, incast)) EXPECT_DOUBLE_EQ(end.value(), 7);
  // The other way round it is the sender's.
  std::vector<Transfer> outcast;
  for (const Transfer& t : incast) outcast.push_back({t.to, t.from, t.bytes});
  for (const Seconds end : transfer_ends(fabric, outcast)) EXPECT_DOUBLE_EQ(end.value(), 7);
}

TEST(FluidTransfers, BothDirectionsOfANicAreTheirOwn) {
  const Fabric fabric = Fabric::build(small_cluster(8));
  const std::vector<Transfer> both = {{0, 4, Bytes{50e9}}, {4, 0, Bytes{50e9}}};
  EXPECT_THAT(transfer_ends(fabric, both), ElementsAre(Seconds{1}, Seconds{1}));
}

TEST(FluidTransfers, OverlappingGroupsShareANodesOnlyNic) {
  // One NIC of 50 GB/s a node. Group A is a ring of GPU 0 of nodes 0, 1, 2; group B a ring of GPU 1 of nodes 0 and 1; all of 50 GB.
  // Node 0's NIC sends A01 and B01, node 1's A12 and B10: 25 GB/s each. A20 leaves node 2 alone, but meets B10 at node 0: 25 as well.
  Cluster c = small_cluster(4);
  c.scale_out.nics_per_node = 1;
  const Fabric fabric = Fabric::build(c);
  const Bytes bytes{50e9};
  const std::vector<Transfer> both = {{0, 4, bytes}, {4, 8, bytes}, {8, 0, bytes}, {1, 5, bytes}, {5, 1, bytes}};
  for (const Seconds end : transfer_ends(fabric, both)) EXPECT_DOUBLE_EQ(end.value(), 2);
  // Group B with half of the bytes is done after 1 s; then what is left of A, 25 GB, has the links to itself.
  std::vector<Transfer> uneven = both;
  uneven[3].bytes = uneven[4].bytes = bytes / 2.0;
  EXPECT_THAT(transfer_ends(fabric, uneven), ElementsAre(Seconds{1.5}, Seconds{1.5}, Seconds{1.5}, Seconds{1}, Seconds{1}));
}

TEST(FluidTransfers, AnOversubscribedUplinkIsSharedByWhoCrossesIt) {
  // 6 nodes a leaf with rails, 2 uplinks of 50 GB/s. Six transfers of rail 0 to the other leaf share 100 GB/s; one within the leaf does
  // not.
  Cluster c = small_cluster(12);
  c.scale_out.oversubscription = 3;
  const Fabric fabric = Fabric::build(c);
  std::vector<Transfer> transfers;
  for (std::int64_t node = 0; node < 6; ++node) transfers.push_back({4 * node, 4 * (node + 6), Bytes{50e9}});
  transfers.push_back({1, 5, Bytes{50e9}});
  const std::vector<Seconds> ends = transfer_ends(fabric, transfers);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_DOUBLE_EQ(ends[i].value(), 3);
  EXPECT_DOUBLE_EQ(ends[6].value(), 1);
}

TEST(FluidTransfers, EcmpCollisionsTakeAsLongAsTheBusiestUplink) {
  Cluster c = small_cluster(8);
  c.scale_out.routing = PathChoice::ecmp;
  int collided = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    c.scale_out.routing_seed = seed;
    const Fabric fabric = Fabric::build(c);
    std::map<std::uint32_t, double> flows_on;  // uplinks
    std::vector<Transfer> transfers;
    for (std::int64_t node = 0; node < 4; ++node) {
      transfers.push_back({4 * node, 4 * (node + 4), Bytes{50e9}});
      for (const LinkShare& share : fabric.shares(transfers.back().from, transfers.back().to)) flows_on[share.first] += 1;
    }
    const double most = std::max_element(flows_on.begin(), flows_on.end(), [](auto& a, auto& b) { return a.second < b.second; })->second;
    const std::vector<Seconds> ends = transfer_ends(fabric, transfers);
    EXPECT_DOUBLE_EQ(std::max_element(ends.begin(), ends.end())->value(), most) << "seed " << seed;
    collided += most > 1 ? 1 : 0;
  }
  EXPECT_GT(collided, 10);
}

// Random paths and sizes: the last end over any link is at least its bytes over its capacity; listing flows in another order changes
// nothing; halving all capacities doubles all times.
TEST(Fluid, PropertyEndsFollowFromTheProblemAlone) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    FluidProblem p = links({});
    for (std::size_t l = 0; l < 2 + random() % 6; ++l) p.capacities.push_back(static_cast<double>(1 + random() % 9));
    const std::size_t count = 1 + random() % 8;
    for (std::size_t k = 0; k < count; ++k) {
      std::vector<std::uint32_t> over;
      for (std::uint32_t l = 0; l < p.capacities.size(); ++l) {
        if (random() % 2 == 0) over.push_back(l);
      }
      if (over.empty()) over.push_back(0);
      path(p, over);
    }
    for (std::size_t f = 0; f < 1 + random() % 20; ++f) {
      p.flows.push_back({static_cast<std::uint32_t>(random() % count), static_cast<double>(1 + random() % 50)});
    }
    const std::vector<double> ends = flow_ends(p);
    std::vector<double> bytes(p.capacities.size()), last(p.capacities.size());
    for (std::size_t f = 0; f < p.flows.size(); ++f) {
      const auto [own, of_path] = p.flows[f];
      EXPECT_GT(ends[f], 0);
      for (std::uint32_t u = p.uses_begin[own]; u < p.uses_begin[own + 1]; ++u) {
        bytes[p.uses[u].link] += of_path;
        last[p.uses[u].link] = std::max(last[p.uses[u].link], ends[f]);
      }
    }
    for (std::size_t l = 0; l < bytes.size(); ++l) EXPECT_GE(last[l] * (1 + 1e-12), bytes[l] / p.capacities[l]);
    FluidProblem reversed = p, slow = p;
    std::reverse(reversed.flows.begin(), reversed.flows.end());
    std::vector<double> backwards = flow_ends(reversed);
    std::reverse(backwards.begin(), backwards.end());
    for (std::size_t f = 0; f < ends.size(); ++f) EXPECT_DOUBLE_EQ(backwards[f], ends[f]);
    for (double& capacity : slow.capacities) capacity /= 2;
    const std::vector<double> doubled = flow_ends(slow);
    for (std::size_t f = 0; f < ends.size(); ++f) EXPECT_DOUBLE_EQ(doubled[f], 2 * ends[f]);
  }
}

}  // namespace
}  // namespace trillion::fluid_test
