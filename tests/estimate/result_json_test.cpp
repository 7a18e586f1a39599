// The report as programs read it:
//   every field of INTERFACE.md is there, by its name
//   figures follow from the estimate: tokens_per_s = tokens / time, mfu = model FLOPs / (time gpus peak), phases add up to time
//   what does not exist is null; what is not finite is our bug
//   one estimate, one text; the simulation's cost changes nothing outside "simulation"
#include "sim/estimate/result_json.h"
#include "sim/estimate/report_figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "sim/base/error.h"
#include "tests/support/example_estimate.h"

namespace trillion::result_json_test {
namespace {

const SimulationCost kCost{Seconds{0.25}, Bytes{1e8}};

std::vector<ReportFigure> example_figures() {
  return report_figures(report_json(example::scenario(), example::estimate(), kCost), "report.json");
}

double number_at(const std::vector<ReportFigure>& figures, std::string_view path) {
  const ReportFigure* found = figure(figures, path);
  if (found == nullptr || !found->is_number) {
    ADD_FAILURE() << "no number at " << path;
    return std::nan("");
  }
  return found->number;
}

TEST(ResultJson, HasEveryFieldOfTheInterface) {
  const std::vector<ReportFigure> figures = example_figures();
  for (const char* path : {
           "schema",
           "scenario",
           "model",
           "cluster",
           "calibration",
           "seed",
           "conventions.attention_flops",
           "conventions.peak_flops_per_s",
           "conventions.peak_precision",
           "conventions.usable_memory_bytes",
           "plan.tensor_parallel",
           "plan.sequence_parallel",
           "plan.context_parallel",
           "plan.pipeline_parallel",
           "plan.virtual_pipeline_stages",
           "plan.expert_parallel",
           "plan.expert_tensor_parallel",
           "plan.data_parallel",
           "plan.micro_batch_size",
           "plan.schedule",
           "plan.layers_per_stage.1",
           "plan.sharding",
           "plan.recompute.0",
           "plan.precision",
           "plan.expert_placement",
           "model_size.parameters_total",
           "model_size.parameters_activated",
           "model_size.parameters_mtp",
           "model_size.flops_per_token_causal",
           "model_size.flops_per_token_noncausal",
           "model_size.flops_per_token_mtp",
           "answer.gpu_hours_per_trillion_tokens",
           "answer.interval_90.0",
           "answer.interval_90.1",
           "answer.usd_per_trillion_tokens",
           "run.tokens",
           "run.steps",
           "run.gpu_hours",
           "run.usd",
           "run.days",
           "run.gpu_hours_per_trillion_tokens",
           "run.phases.0.tokens",
           "run.phases.0.steps",
           "run.phases.0.global_batch_size",
           "run.phases.0.sequence_length",
           "run.phases.1.gpu_hours",
           "step.time_s",
           "step.tokens",
           "step.tokens_per_s",
           "step.tokens_per_day",
           "step.tokens_per_s_per_gpu",
           "step.model_flops_per_s_per_gpu_causal",
           "step.model_flops_per_s_per_gpu_noncausal",
           "step.mfu_causal",
           "step.mfu_noncausal",
           "step.hfu",
           "step.phases_s.forward",
           "step.phases_s.backward",
           "step.phases_s.weight",
           "step.phases_s.forward_backward",
           "step.phases_s.bubble",
           "step.phases_s.optimizer",
           "step.phases_s.other",
           "step.exposed_s.expert_all_to_all",
           "step.exposed_s.pipeline_p2p",
           "step.exposed_s.tensor_parallel",
           "step.exposed_s.context_parallel",
           "step.exposed_s.gradient_reduce",
           "step.exposed_s.parameter_gather",
           "step.exposed_s.straggler",
           "step.compute_s.attention",
           "step.compute_s.dense_ffn",
           "step.compute_s.experts",
           "step.compute_s.gate",
           "step.compute_s.embedding_and_head",
           "step.compute_s.norm_and_elementwise",
           "step.compute_s.cast_and_quantize",
           "step.compute_s.recompute",
           "step.compute_s.optimizer",
           "memory.capacity_bytes",
           "memory.fits",
           "memory.stages.1.stage",
           "memory.stages.1.parameters_bytes",
           "memory.stages.1.gradients_bytes",
           "memory.stages.1.optimizer_bytes",
           "memory.stages.1.activations_bytes",
           "memory.stages.1.buffers_bytes",
           "memory.stages.1.overhead_bytes",
           "memory.stages.1.peak_bytes",
           "traffic.links.0.name",
           "traffic.links.0.kind",
           "traffic.links.0.bytes_per_step",
           "traffic.links.0.utilization",
           "routing.balance",
           "routing.tokens_per_expert_max_over_mean",
           "routing.rank_load_max_over_mean",
           "routing.nodes_per_token_mean",
           "routing.bytes_per_token_scale_out",
           "routing.bytes_per_token_scale_up",
           "routing.tokens_per_expert_coefficient_of_variation",
           "routing.scale_out_max_over_mean",
           "routing.dropped_share",
           "routing.served_rows",
           "routing.dispatch_bytes_per_copy",
           "routing.combine_bytes_per_copy",
           "routing.without_node_limit.nodes_per_token_mean",
           "routing.without_node_limit.bytes_per_token_scale_out",
           "routing.layers.0.layer",
           "routing.layers.0.micro_batch.max_over_mean",
           "routing.layers.0.all_data.coefficient_of_variation",
           "routing.layers.0.domains.1.max_over_mean",
           "origins.0.parameter",
           "origins.0.origin",
           "origins.0.source",
           "origins.0.share_of_time",
           "simulation.events",
           "simulation.tasks",
           "simulation.wall_s",
           "simulation.peak_rss_bytes",
           "simulation.fidelity",
       }) {
    EXPECT_NE(figure(figures, path), nullptr) << path;
  }
}

TEST(ResultJson, FiguresFollowFromTheEstimate) {
  const std::vector<ReportFigure> figures = example_figures();
  EXPECT_DOUBLE_EQ(number_at(figures, "step.tokens_per_s"), 62914560.0 / 20);
  EXPECT_DOUBLE_EQ(number_at(figures, "step.tokens_per_day"), 62914560.0 / 20 * 86400);
  EXPECT_DOUBLE_EQ(number_at(figures, "step.tokens_per_s_per_gpu"), 1536);
  EXPECT_NEAR(number_at(figures, "step.mfu_causal"), 0.40, 1e-12);
  EXPECT_NEAR(number_at(figures, "step.mfu_noncausal"), 0.45, 1e-12);
  EXPECT_NEAR(number_at(figures, "step.hfu"), 0.42, 1e-12);
  EXPECT_DOUBLE_EQ(number_at(figures, "memory.stages.0.peak_bytes"), 63.0 * 1024 * 1024 * 1024);
  EXPECT_EQ(figure(figures, "memory.fits")->text, "true");
  EXPECT_EQ(number_at(figures, "plan.data_parallel"), 1024);  // as simulated, not as asked
  EXPECT_EQ(figure(figures, "plan.schedule")->text, "dualpipe");
  EXPECT_EQ(figure(figures, "routing.balance")->text, "loss_free");
  double phases = 0;
  for (const char* phase : {"forward", "backward", "weight", "forward_backward", "bubble", "optimizer", "other"}) {
    phases += number_at(figures, std::string("step.phases_s.") + phase);
  }
  EXPECT_DOUBLE_EQ(phases, number_at(figures, "step.time_s"));
}

TEST(ResultJson, MemoryThatDoesNotFitSaysSo) {
  Estimate estimate = example::estimate();
  estimate.step.memory.push_back(example::stage_memory(2, 47.5));  // 80.5 GiB of 80
  const auto figures = report_figures(report_json(example::scenario(), estimate, kCost), "report.json");
  EXPECT_EQ(figure(figures, "memory.fits")->text, "false");
}

TEST(ResultJson, WhatDoesNotExistIsNull) {
  Scenario scenario = example::scenario();
  scenario.model.moe.reset();
  Estimate estimate = example::estimate();
  estimate.answer.usd_per_trillion_tokens.reset();
  estimate.run.reset();
  const auto figures = report_figures(report_json(scenario, estimate, kCost), "report.json");
  for (const char* path : {"answer.usd_per_trillion_tokens", "run", "routing"}) {
    ASSERT_NE(figure(figures, path), nullptr) << path;
    EXPECT_EQ(figure(figures, path)->text, "null") << path;
  }
}

TEST(ResultJson, ANumberThatIsNotFiniteIsOurBug) {
  for (const double bad : {std::numeric_limits<double>::infinity(), std::nan("")}) {
    Estimate estimate = example::estimate();
    estimate.answer.high = bad;
    EXPECT_THROW(report_json(example::scenario(), estimate, kCost), InternalError);
  }
}

TEST(ResultJson, WholeNumbersArePrintedWhole) {
  const std::string json = report_json(example::scenario(), example::estimate(), kCost);
  EXPECT_THAT(json, testing::HasSubstr("\"tokens\": 62914560,"));
  EXPECT_THAT(json, testing::HasSubstr("\"peak_bytes\": 67645734912"));
}

TEST(ResultJson, OnlyTheSimulationBlockKnowsTheCost) {
  const std::string a = report_json(example::scenario(), example::estimate(), kCost);
  const std::string b = report_json(example::scenario(), example::estimate(), {Seconds{9.5}, Bytes{3e9}});
  EXPECT_NE(a, b);
  const std::size_t block = a.find("\"simulation\"");
  ASSERT_NE(block, std::string::npos);
  EXPECT_EQ(a.substr(0, block), b.substr(0, block));
  EXPECT_EQ(a, report_json(example::scenario(), example::estimate(), kCost));
}

TEST(ResultJson, SourcesThatAreNotUtf8DoNotStopAReport) {
  Estimate estimate = example::estimate();
  estimate.step.origins[0].provenance.source = "caf\xe9";
  const auto figures = report_figures(report_json(example::scenario(), estimate, kCost), "report.json");
  EXPECT_EQ(figure(figures, "origins.0.source")->text, "caf\xef\xbf\xbd");
}

TEST(ResultJson, AnInfeasiblePlanHasReasonAndHelpAndNoAnswer) {
  const std::string json = infeasible_json(example::scenario(), {"stage 3 needs 4 GiB more", {"recompute more", "more stages"}});
  const auto figures = report_figures(json, "report.json");
  EXPECT_EQ(figure(figures, "infeasible.reason")->text, "stage 3 needs 4 GiB more");
  EXPECT_EQ(figure(figures, "infeasible.help.1")->text, "more stages");
  EXPECT_EQ(figure(figures, "answer.gpu_hours_per_trillion_tokens"), nullptr);
}

}  // namespace
}  // namespace trillion::result_json_test
