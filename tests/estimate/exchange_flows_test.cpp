// An exchange as flows:
//   what goes there comes back the same ways, NICs keep to their rail and leave the node, NVLink does not
//   on a network as wide as its NICs the busiest wire sets the pace, however many groups exchange
//   narrower switches hold all groups up, but evenly: less than the busiest NIC at the even share of its rate
#include "sim/estimate/exchange_flows.h"

#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "sim/base/error.h"
#include "tests/support/linear_machine.h"

namespace trillion::exchange_flows_test {
namespace {

using namespace testing_support;

Scenario exchange(std::int64_t nodes = 2) {
  Plan plan;
  plan.expert_parallel = 16;
  Scenario s = linear_scenario(moe_model(2), plan, nodes, 16 * nodes);
  s.training.routing.balance = Balance::loss_free;
  return s;
}

TEST(ExchangeFlows, WhatGoesThereComesBack) {
  const ExchangeFlows flows = exchange_flows(exchange());
  EXPECT_EQ(flows.ranks, 16);
  EXPECT_EQ(flows.groups, 1);
  std::map<std::tuple<bool, std::int64_t, std::int64_t>, double> there, back;
  for (const ExchangeTransfer& t : flows.transfers) {
    EXPECT_NE(t.nic, t.from / 8 == t.to / 8);
    if (t.nic) {
      EXPECT_EQ(t.from % 8, t.to % 8);
    }
    (t.dispatch ? there[{t.nic, t.from, t.to}] : back[{t.nic, t.to, t.from}]) += t.bytes.value();
  }
  EXPECT_EQ(there.size(), 16u + 16u * 7);
  ASSERT_EQ(there.size(), back.size());
  const double ratio = back.begin()->second / there.begin()->second;
  for (const auto& [way, bytes] : there) EXPECT_NEAR(back.at(way) / bytes, ratio, 1e-9);
}

TEST(ExchangeFlows, OnAWideNetworkTheBusiestWireSetsThePace) {
  const ExchangeFlows flows = exchange_flows(exchange(8));
  EXPECT_EQ(flows.groups, 4);
  for (const ExchangeFlows::Way& way : {flows.dispatch, flows.combine}) {
    EXPECT_GE(way.alone / way.busiest_wire, 1 - 1e-9);
    EXPECT_LE(way.alone / way.busiest_wire, 1.02);  // a wire may idle at times
    EXPECT_NEAR(way.together / way.alone, 1, 1e-9);
  }
}

TEST(ExchangeFlows, NarrowSwitchesEvenOutWhatIsUneven) {
  Scenario s = exchange(8);
  s.cluster.scale_out.rails = false;
  s.cluster.scale_out.switch_ports = 12;  // one node and its eight NICs a leaf: groups of two nodes cross the spines
  s.cluster.scale_out.oversubscription = 4;
  const ExchangeFlows flows = exchange_flows(s);
  for (const ExchangeFlows::Way& way : {flows.dispatch, flows.combine}) {
    EXPECT_GT(way.together, way.alone * 0.999);
    EXPECT_LE(way.together, way.busiest_wire * 1.000001);
  }
}

TEST(ExchangeFlows, WhereNothingIsDrawnItSaysWhy) {
  Scenario s = exchange();
  s.plan.expert_parallel = 1;
  EXPECT_THROW(exchange_flows(s), InputError);
  s = exchange();
  s.plan.expert_exchange = ExpertExchange::all_to_all;
  EXPECT_THROW(exchange_flows(s), InputError);
  EXPECT_THROW(exchange_flows(linear_scenario(dense_model(2), {}, 2, 16)), InputError);
}

}  // namespace
}  // namespace trillion::exchange_flows_test
