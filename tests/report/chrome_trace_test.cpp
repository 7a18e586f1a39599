// A step as a timeline file. The algebra:
//   whole    valid JSON; one event per task of the first replica's GPUs, at its times
//   threads  what one thread shows is in order and does not overlap
//   names    actions in the schedule's grammar, parts of blocks as DeepSeek's profile names them
#include "sim/report/chrome_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/linear_machine.h"

namespace trillion::chrome_trace_test {
namespace {

using namespace testing_support;
using testing::IsSupersetOf;

class ChromeTrace : public testing::Test {
 protected:
  ChromeTrace() {
    Plan plan;
    plan.schedule = ScheduleKind::dualpipe;
    plan.pipeline_parallel = 4;
    plan.expert_parallel = 16;
    scenario_ = linear_scenario(moe_model(8), plan, 8, 16 * 8);
    const Timing timing(scenario_.calibration, scenario_.cluster);
    auto outcome = trace_step(scenario_, timing);
    step_ = std::make_unique<TracedStep>(std::get<TracedStep>(std::move(outcome)));
  }
  nlohmann::json events(const std::vector<std::int64_t>& ranks = {}) const {
    return nlohmann::json::parse(chrome_trace(scenario_, *step_, ranks)).at("traceEvents");
  }

  Scenario scenario_;
  std::unique_ptr<TracedStep> step_;
};

TEST_F(ChromeTrace, HasEveryTaskOnce) {
  std::size_t kernels = 0;
  for (const auto& e : events()) kernels += e.at("ph") == "X" && e.at("cat") != "gpu_user_annotation" ? 1 : 0;
  EXPECT_EQ(kernels, step_->lowered.graph.task_count());
}

TEST_F(ChromeTrace, ThreadsShowOneThingAtATime) {
  std::map<std::pair<int, int>, double> reached;
  double last = 0;
  for (const auto& e : events()) {
    if (e.at("ph") != "X") continue;
    double& until = reached[{e.at("pid").get<int>(), e.at("tid").get<int>()}];
    EXPECT_GE(e.at("ts").get<double>(), until - 1e-3) << e;
    until = e.at("ts").get<double>() + e.at("dur").get<double>();
    last = std::max(last, until);
  }
  EXPECT_NEAR(last * 1e-6, step_->trace.makespan.seconds().value(), 1e-9);
}

TEST_F(ChromeTrace, NamesActionsAndParts) {
  std::set<std::string> annotations;
  for (const auto& e : events()) {
    if (e.at("ph") == "X" && e.at("cat") == "gpu_user_annotation") annotations.insert(e.at("name").get<std::string>());
  }
  EXPECT_THAT(annotations, IsSupersetOf({"0F0", "attn(F)", "dispatch(F)", "mlp(F)", "combine(F)", "combine(B)", "mlp(B)", "dispatch(B)",
                                         "attn(B)", "attn(W)", "optimizer"}));
}

TEST_F(ChromeTrace, WritesTheRanksAskedFor) {
  std::set<int> processes;
  for (const auto& e : events({1, 3})) processes.insert(e.at("pid").get<int>());
  EXPECT_EQ(processes, (std::set<int>{1, 3}));
}

}  // namespace
}  // namespace trillion::chrome_trace_test
