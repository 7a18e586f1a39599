// What differs, and what it costs. The algebra:
//   whole   the causes of a report add up to its GPU-hours, and the causes of a difference to the difference
//   order   every report has the same causes in the same order, also an older one that does not know some of them
//   scale   twice the GPUs for the same time and tokens cost twice as much, cause by cause
#include "sim/estimate/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sim/base/error.h"
#include "sim/estimate/result_json.h"
#include "tests/support/example_estimate.h"
#include "tests/support/linear_machine.h"

namespace trillion::comparison_test {
namespace {

using namespace testing_support;
using testing::Contains;
using testing::ElementsAre;
using testing::Not;

NamedReport simulated(const std::string& name, const Scenario& s) {
  return {name, report_figures(report_json(s, std::get<Estimate>(estimate(s, 1)), {Seconds{1}, Bytes{1}}), name)};
}

Scenario with_plan(const Model& model, const Plan& plan, std::int64_t nodes = 1) { return linear_scenario(model, plan, nodes, 16 * nodes); }

double answer(const NamedReport& report) { return figure(report.figures, "answer.gpu_hours_per_trillion_tokens")->number; }

std::vector<NamedReport> several() {
  Plan pipeline, tensor, experts, recomputed;
  pipeline.pipeline_parallel = 4;
  pipeline.schedule = ScheduleKind::gpipe;
  tensor.tensor_parallel = 4;
  tensor.sequence_parallel = true;
  experts.expert_parallel = 8;
  recomputed.recompute = {RecomputeModule::layer};
  return {simulated("pipeline", with_plan(dense_model(8), pipeline)), simulated("tensor", with_plan(dense_model(8), tensor)),
          simulated("experts", with_plan(moe_model(8), experts)), simulated("recomputed", with_plan(dense_model(8), recomputed)),
          simulated("two nodes", with_plan(dense_model(8), pipeline, 2))};
}

TEST(Comparison, CausesAddUpToTheWhole) {
  const std::vector<NamedReport> reports = several();
  for (const NamedReport& base : reports) {
    EXPECT_NEAR(cost_of(cost_parts(base.figures)) / answer(base), 1, 1e-12) << base.name;
    for (const NamedReport& other : reports) {
      const std::vector<CostPart> a = cost_parts(base.figures), b = cost_parts(other.figures);
      ASSERT_EQ(a.size(), b.size());
      double difference = 0;
      for (std::size_t i = 0; i < a.size(); ++i) {
        EXPECT_EQ(a[i].name, b[i].name);
        difference += b[i].gpu_hours - a[i].gpu_hours;
      }
      EXPECT_NEAR(difference, answer(other) - answer(base), 1e-9 * answer(base)) << base.name << " " << other.name;
    }
  }
}

double part(const NamedReport& report, const std::string& name) {
  for (const CostPart& p : cost_parts(report.figures)) {
    if (p.name == name) return p.gpu_hours;
  }
  ADD_FAILURE() << name;
  return 0;
}

TEST(Comparison, ACauseIsWhereItBelongs) {
  const std::vector<NamedReport> r = several();
  EXPECT_GT(part(r[0], "pipeline bubble"), 0);
  EXPECT_EQ(part(r[1], "pipeline bubble"), 0);
  EXPECT_GT(part(r[1], "exposed tensor-parallel"), 0);
  EXPECT_GT(part(r[2], "experts"), 0);
  EXPECT_EQ(part(r[0], "experts"), 0);
  EXPECT_GT(part(r[3], "recomputation"), 0);
  EXPECT_EQ(part(r[0], "recomputation"), 0);
}

TEST(Comparison, AnOlderReportLacksCausesAndStillAddsUp) {
  NamedReport report{"now", report_figures(report_json(example::scenario(), example::estimate(), {Seconds{1}, Bytes{1}}), "now")};
  NamedReport older = report;
  older.figures.erase(std::remove_if(older.figures.begin(), older.figures.end(),
                                     [](const ReportFigure& f) {
                                       return f.path == "step.exposed_s.expert_all_to_all" || f.path == "memory.peak_bytes" ||
                                              f.path == "step.exposed_s.host_offload" || f.path == "gpus";
                                     }),
                      older.figures.end());
  const auto parts = cost_parts(older.figures);
  EXPECT_EQ(parts.size(), cost_parts(report.figures).size());
  EXPECT_NEAR(cost_of(parts), cost_of(cost_parts(report.figures)), 1e-9 * cost_of(parts));
  EXPECT_EQ(part(older, "exposed expert all-to-all"), 0);
  std::vector<NamedReport> both = {report, older};
  EXPECT_THAT(compared_paths(both, ComparedRows::differing), Not(Contains("memory.peak_bytes"))) << "added from its ranks";
}

TEST(Comparison, TwiceTheGpusCostTwice) {
  Estimate e = example::estimate();
  Scenario s = example::scenario();
  const auto once = cost_parts(report_figures(report_json(s, e, {Seconds{1}, Bytes{1}}), "once"));
  s.cluster.nodes *= 2;
  const auto twice = cost_parts(report_figures(report_json(s, e, {Seconds{1}, Bytes{1}}), "twice"));
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_NEAR(twice[i].gpu_hours, 2 * once[i].gpu_hours, 1e-9 * once[0].gpu_hours);
}

TEST(Comparison, WhatCannotRunCostsNothing) {
  const std::string json = infeasible_json(example::scenario(), {"too little memory", {}});
  EXPECT_TRUE(cost_parts(report_figures(json, "small")).empty());
}

TEST(Comparison, ThePathsAreTheBasesFirstAndOnlyWhatDiffers) {
  std::vector<NamedReport> reports = {{"a", {{"x", true, 1, {}}, {"y", true, 2, {}}, {"simulation.wall_s", true, 1, {}}}},
                                      {"b", {{"z", true, 1, {}}, {"x", true, 1, {}}, {"y", true, 3, {}}}}};
  EXPECT_THAT(compared_paths(reports, ComparedRows::differing), ElementsAre("y", "z"));
  EXPECT_THAT(compared_paths(reports, ComparedRows::all), ElementsAre("x", "y", "z"));
  std::vector<NamedReport> none;
  EXPECT_THROW(compared_paths(none, ComparedRows::all), InternalError);
}

TEST(Comparison, TheJsonSaysTheSame) {
  const std::vector<NamedReport> reports = several();
  const auto json = nlohmann::json::parse(comparison_json(reports, ComparedRows::differing));
  EXPECT_EQ(json["schema"], "trillion.comparison/1");
  EXPECT_EQ(json["base"], "pipeline");
  ASSERT_EQ(json["reports"].size(), reports.size());
  for (const auto& report : json["reports"]) {
    double sum = 0;
    for (const auto& cause : report["causes"]) sum += cause["difference"].get<double>();
    EXPECT_NEAR(sum, report["difference"].get<double>(), 1e-9 * answer(reports[0]));
  }
  EXPECT_EQ(json["reports"][0]["difference"], 0);
  ASSERT_FALSE(json["figures"].empty());
  EXPECT_EQ(json["figures"][0]["values"].size(), reports.size());
}

}  // namespace
}  // namespace trillion::comparison_test
