// The table of an exchange: what goes there comes back the same ways, NICs keep to their rail and leave the node, NVLink does not.
#include "sim/estimate/traffic_csv.h"

#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <string>
#include <tuple>

#include "sim/base/error.h"
#include "tests/support/linear_machine.h"

namespace trillion {
namespace {

using namespace testing_support;

Scenario exchange() {
  Plan plan;
  plan.expert_parallel = 16;
  Scenario s = linear_scenario(moe_model(2), plan, 2, 16);
  s.training.routing.balance = Balance::loss_free;
  return s;
}

TEST(TrafficCsv, WhatGoesThereComesBack) {
  std::istringstream lines(traffic_csv(exchange()));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  EXPECT_EQ(line, "direction,wire,from,to,bytes");
  std::map<std::tuple<std::string, int, int>, double> there, back;
  while (std::getline(lines, line)) {
    std::istringstream cells(line);
    std::string direction, wire, from, to, bytes;
    std::getline(cells, direction, ','), std::getline(cells, wire, ','), std::getline(cells, from, ','), std::getline(cells, to, ',');
    std::getline(cells, bytes);
    const int a = std::stoi(from), b = std::stoi(to);
    EXPECT_EQ(wire == "nvlink", a / 8 == b / 8) << line;
    if (wire == "nic") {
      EXPECT_EQ(a % 8, b % 8) << line;
    }
    (direction == "dispatch" ? there[{wire, a, b}] : back[{wire, b, a}]) += std::stod(bytes);
  }
  EXPECT_EQ(there.size(), 16u + 16u * 7);
  ASSERT_EQ(there.size(), back.size());
  const double ratio = back.begin()->second / there.begin()->second;
  for (const auto& [way, bytes] : there) EXPECT_NEAR(back.at(way) / bytes, ratio, 1e-4);
}

TEST(TrafficCsv, WhereNothingIsExchangedThereIsNone) {
  Scenario s = exchange();
  s.plan.expert_parallel = 1;
  EXPECT_THROW(traffic_csv(s), InputError);
  EXPECT_THROW(traffic_csv(linear_scenario(dense_model(2), {}, 2, 16)), InputError);
}

}  // namespace
}  // namespace trillion
