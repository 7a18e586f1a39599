// A scenario and an estimate made by hand, with round figures: 2048 GPUs, 20 s a step of 62 914 560 tokens.
#pragma once

#include "sim/estimate/estimate.h"

namespace trillion::example {

inline Model model() {
  Model model;
  model.name = "Example 600B";
  model.model_type = "deepseek_v3";
  model.hidden_size = 7168;
  model.num_hidden_layers = 2;
  model.moe = MixtureOfExperts{};
  model.moe->n_routed_experts = 256;
  model.moe_layers = {false, true};
  model.assumed = {"vocabulary is not published; 128K is taken"};
  return model;
}

inline Cluster cluster() {
  Cluster cluster;
  cluster.name = "256 nodes of 8 H800";
  cluster.nodes = 256;
  cluster.gpus_per_node = 8;
  cluster.gpu.name = "H800 SXM";
  cluster.gpu.peak_bf16 = FlopsPerSecond{1e15};
  cluster.gpu.peak_fp8 = FlopsPerSecond{2e15};
  cluster.gpu.memory = 85.0 * kGiB;
  cluster.gpu.usable_memory = 80.0 * kGiB;
  cluster.price = Price{UsdPerSecond{2.0 / 3600}, {Origin::assumed, "rental price of the report"}};
  return cluster;
}

inline Scenario scenario() {
  Scenario scenario;
  scenario.name = "example";
  scenario.question = "What does it cost?";
  scenario.model_file = "models/example.yaml";
  scenario.cluster_file = "topologies/h800-256x8.yaml";
  scenario.calibration_file = "calibration/profiles/h800.yaml";
  scenario.model = model();
  scenario.cluster = cluster();
  scenario.training.sequence_length = 4096;
  scenario.training.global_batch_size = 15360;
  scenario.training.tokens = 14.8e12;
  scenario.plan.pipeline_parallel = 2;
  scenario.plan.expert_parallel = 64;
  scenario.plan.schedule = ScheduleKind::dualpipe;
  scenario.plan.precision = Precision::fp8;
  scenario.plan.recompute = {RecomputeModule::norm, RecomputeModule::activation};
  scenario.seed = 7;
  return scenario;
}

inline StageMemory stage_memory(std::int64_t stage, double activations_gib) {
  StageMemory memory;
  memory.stage = stage;
  memory.parameters = 4.0 * kGiB;
  memory.gradients = 8.0 * kGiB;
  memory.optimizer = 16.0 * kGiB;
  memory.activations = activations_gib * kGiB;
  memory.buffers = 2.0 * kGiB;
  memory.overhead = 3.0 * kGiB;
  memory.in_flight = 17;
  return memory;
}

inline StepResult step() {
  StepResult step;
  step.time = Seconds{20};
  step.tokens = 15360.0 * 4096;
  step.model_flops_causal = Flops{0.40 * 1e15 * 2048 * 20};
  step.model_flops_noncausal = Flops{0.45 * 1e15 * 2048 * 20};
  step.hardware_flops = Flops{0.42 * 1e15 * 2048 * 20};
  step.phases = {Seconds{1}, Seconds{2}, Seconds{0.5}, Seconds{14}, Seconds{1.5}, Seconds{1}, Seconds{0}};
  step.exposed.expert_all_to_all = Seconds{0.8};
  step.exposed.gradient_reduce = Seconds{0.3};
  step.compute.attention = Seconds{4};
  step.compute.experts = Seconds{6};
  step.compute.optimizer = Seconds{0.5};
  step.memory = {stage_memory(0, 30), stage_memory(1, 25)};
  step.traffic = {{"nvlink", "nvlink", Bytes{8e14}, 0.21}, {"nic", "nic", Bytes{4e14}, 0.35}};
  step.routing.balance = Balance::loss_free;
  step.routing.tokens_per_expert_max_over_mean = 1.9;
  step.routing.tokens_per_expert_variation = 0.2;
  step.routing.rank_load_max_over_mean = 1.08;
  step.routing.nodes_per_token_mean = 3.6;
  step.routing.bytes_per_token_scale_out = Bytes{64512};
  step.routing.bytes_per_token_scale_up = Bytes{129024};
  step.routing.limited = true;
  step.routing.free_nodes_per_token = 5.3;
  step.routing.free_bytes_per_token_scale_out = Bytes{96768};
  step.routing.layers = {{0, {1.9, 0.2}, {1.04, 0.02}, {{7.5, 1.2}, {9.1, 1.4}}}};
  step.origins = {
      {"gemm fp8_block forward sustained", {Origin::measured, "DeepSeek's published training trace, kernels on 112 SMs"}, 0.6, false},
      {"combine", {Origin::paper, "DeepEP README"}, 0.3, true},
      {"rms_norm", {Origin::assumed, "copy's rate"}, 0.1, false}};
  step.layers_per_stage = {1, 1};
  step.data_parallel = 1024;
  step.micro_batches = 15;
  step.events = 1000;
  step.tasks = 900;
  return step;
}

inline Estimate estimate() {
  Estimate estimate;
  estimate.step = step();
  estimate.answer = {180845.0, 175000.0, 187000.0, Usd{361690.0}};
  RunResult run;
  run.tokens = 14.8e12;
  run.steps = 250000;
  run.gpu_hours = 2.7e6;
  run.days = 54.9;
  run.gpu_hours_per_trillion_tokens = 182432.0;
  run.usd = Usd{5.4e6};
  run.phases = {{{}, 0.469e12, 15000, 3072, 4096, Seconds{5}, 100000}, {{}, 14.331e12, 235000, 15360, 4096, Seconds{20}, 2.6e6}};
  estimate.run = run;
  estimate.size = {600000000000, 37000000000, 900000000, 900000000, 14000000000};
  estimate.token_flops = {Flops{250e9}, Flops{280e9}, Flops{6e9}};
  estimate.conventions = {FlopsPerSecond{1e15}, Precision::bf16, 80.0 * kGiB};
  return estimate;
}

}  // namespace trillion::example
