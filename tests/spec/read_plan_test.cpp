// Plan and training as text: every documented key, every default, every mistake at its place.
#include "sim/spec/load.h"
#include "tests/spec/mistakes.h"

namespace trillion::read_plan_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Plan plan_of(const std::string& text) {
  Plan plan;
  read_text(text, [&](YamlReader& r) { plan = read_plan(r); });
  return plan;
}

Training training_of(const std::string& text) {
  Training training;
  read_text(text, [&](YamlReader& r) { training = read_training(r); });
  return training;
}

std::vector<std::string> plan_mistakes(const std::string& text) {
  return mistakes_in(text, [](YamlReader& r) { read_plan(r); });
}

std::vector<std::string> training_mistakes(const std::string& text) {
  return mistakes_in(text, [](YamlReader& r) { read_training(r); });
}

TEST(ReadPlan, EveryKey) {
  const Plan p = plan_of(R"(
tensor_parallel: 2
sequence_parallel: true
context_parallel: 4
context_parallel_method: ring
tensor_parallel_overlap: pipelined
pipeline_parallel: 8
virtual_pipeline_stages: 2
expert_parallel: 16
expert_tensor_parallel: 2
data_parallel: 3
micro_batch_size: 5
schedule: interleaved-1f1b
layers_per_stage: [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 1]
rank_order: tp-ep-cp-dp-pp
sharding: zero-1
sharding_group: 8
overlap_gradient_reduce: false
overlap_parameter_gather: true
bucket_parameters: 25M
recompute: [norm, mla_up_projection]
precision: fp8
expert_placement: round-robin
)");
  EXPECT_EQ(p.tensor_parallel, 2);
  EXPECT_TRUE(p.sequence_parallel);
  EXPECT_EQ(p.context_parallel, 4);
  EXPECT_EQ(p.context_parallel_method, ContextParallelMethod::ring);
  EXPECT_EQ(p.tensor_parallel_overlap, TensorOverlap::pipelined);
  EXPECT_EQ(p.pipeline_parallel, 8);
  EXPECT_EQ(p.virtual_pipeline_stages, 2);
  EXPECT_EQ(p.expert_parallel, 16);
  EXPECT_EQ(p.expert_tensor_parallel, 2);
  EXPECT_EQ(p.data_parallel, 3);
  EXPECT_EQ(p.micro_batch_size, 5);
  EXPECT_EQ(p.schedule, ScheduleKind::interleaved_1f1b);
  EXPECT_EQ(p.layers_per_stage->size(), 16u);
  EXPECT_EQ(p.sharding, Sharding::zero_1);
  EXPECT_EQ(to_text(p.rank_order), "tp-ep-cp-dp-pp");
  EXPECT_EQ(p.sharding_group, 8);
  EXPECT_FALSE(p.overlap_gradient_reduce);
  EXPECT_TRUE(p.overlap_parameter_gather);
  EXPECT_EQ(p.bucket_parameters, 25e6);
  EXPECT_THAT(p.recompute, ElementsAre(RecomputeModule::norm, RecomputeModule::mla_up_projection));
  EXPECT_EQ(p.precision, Precision::fp8);
  EXPECT_EQ(p.expert_placement, ExpertPlacement::round_robin);
}

TEST(ReadPlan, NamesAreInterfaceNames) {
  for (std::size_t i = 0; i < kScheduleNames.size(); ++i) {
    EXPECT_EQ(plan_of("schedule: " + std::string(kScheduleNames[i])).schedule, static_cast<ScheduleKind>(i));
  }
  EXPECT_THAT(plan_of("recompute: none").recompute, IsEmpty());
  EXPECT_THAT(plan_of("recompute: selective").recompute, ElementsAre(RecomputeModule::norm, RecomputeModule::activation));
  EXPECT_THAT(plan_of("recompute: full").recompute, ElementsAre(RecomputeModule::layer));
  EXPECT_THAT(plan_of("recompute: []").recompute, IsEmpty());
  EXPECT_THAT(plan_of("offload: none").offload, IsEmpty());
  EXPECT_THAT(plan_of("offload: optimizer").offload, ElementsAre(Offload::optimizer));
  EXPECT_THAT(plan_of("offload: [activations, optimizer]").offload, ElementsAre(Offload::activations, Offload::optimizer));
  using enum RecomputeModule;
  EXPECT_THAT(plan_of("recompute: [core_attn, layernorm, mla_up_proj, mlp]").recompute,
              ElementsAre(attention, norm, mla_up_projection, mlp));
  EXPECT_THAT(plan_of("recompute: [moe_act, shared_experts]").recompute, ElementsAre(moe_activation, shared_experts));
  const Plan p = plan_of("recompute: full\nrecompute_method: block\nrecompute_num_layers: 3\n");
  EXPECT_EQ(p.recomputed_layers, (RecomputedLayers{RecomputeMethod::block, 3}));
}

TEST(ReadPlan, APipelineNeedsASchedule) {
  EXPECT_EQ(plan_of("tensor_parallel: 8").data_parallel, std::nullopt);
  EXPECT_THAT(plan_mistakes("pipeline_parallel: 2\n"), ElementsAre("1:1 missing key 'schedule'"));
}

TEST(ReadPlan, AWrittenScheduleIsOneOfTwo) {
  const Plan p = plan_of("pipeline_parallel: 2\nschedule_file: mine.csv\n");
  EXPECT_EQ(p.schedule_file->path, "mine.csv");
  EXPECT_EQ(p.schedule_name(), "mine.csv");
  EXPECT_THAT(plan_mistakes("schedule: 1f1b\nschedule_file: mine.csv\n"),
              ElementsAre(HasSubstr("1:11 'schedule': schedule_file says it all")));
}

TEST(ReadPlan, MistakesHavePlaces) {
  EXPECT_THAT(plan_mistakes("rank_order: tp-cp-dp-pp\n"),
              ElementsAre(HasSubstr("1:13 'rank_order': 'tp-cp-dp-pp' is not an order of the axes")));
  EXPECT_THAT(plan_mistakes("tensor_paralel: 8\n"), ElementsAre("1:1 unknown key 'tensor_paralel' | did you mean 'tensor_parallel'?"));
  EXPECT_THAT(plan_mistakes("tensor_parallel: 0\n"), ElementsAre("1:18 'tensor_parallel': must be at least 1, found 0"));
  EXPECT_THAT(plan_mistakes("recompute: fully\n"),
              ElementsAre(HasSubstr("1:12 'recompute': found 'fully'; accepted is one of none, selective, full")));
  EXPECT_THAT(plan_mistakes("recompute: [norms]\n"), ElementsAre(HasSubstr("1:13 'recompute[0]': found 'norms'")));
  EXPECT_THAT(plan_mistakes("sequence_parallel: on\n"), ElementsAre(HasSubstr("ambiguous")));
  EXPECT_THAT(plan_mistakes("layers_per_stage: 4\n"), ElementsAre(HasSubstr("expected a list, found '4'")));
  EXPECT_THAT(plan_mistakes("precision: fp16\n"), ElementsAre(HasSubstr("accepted is one of bf16, fp8")));
  EXPECT_THAT(plan_mistakes("pipeline_parallel: two\n"), ElementsAre(HasSubstr("expected a whole number")));
}

TEST(ReadTraining, EveryKey) {
  const Training t = training_of(R"(
sequence_length: 4096
global_batch_size: 15360
tokens: 14.8T
optimizer: adamw
optimizer_state: {master_weight_bytes: 4, moment_bytes: 2, gradient_bytes: 4, gradient_reduce_bytes: 2}
batch_size_schedule: {from: 3072, to: 15360, tokens: 469B, stairs: 4}
routing: {balance: auxiliary_batch, popularity_skew: 0.1, domain_skew: 0.2, domains: 4, origin: paper, source: somewhere,
  bias_update_speed: 0.01, capacity_factor: 1.25, pad_to_capacity: true}
)");
  EXPECT_EQ(t.sequence_length, 4096);
  EXPECT_EQ(t.tokens, 14.8e12);
  EXPECT_EQ(t.optimizer_state.moment_bytes, 2);
  EXPECT_EQ(t.optimizer_state.gradient_reduce_bytes, 2);
  EXPECT_EQ(t.batch_size_schedule->tokens, 469e9);
  EXPECT_EQ(t.batch_size_schedule->stairs, 4);
  EXPECT_EQ(t.routing.balance, Balance::auxiliary_batch);
  EXPECT_EQ(t.routing.domains, 4);
  EXPECT_EQ(t.routing.bias_update_speed, 0.01);
  EXPECT_EQ(t.routing.capacity_factor, 1.25);
  EXPECT_TRUE(t.routing.pad_to_capacity);
  EXPECT_EQ(t.routing.provenance.source, "somewhere");
}

TEST(ReadTraining, BalanceIsNotPerfectUnlessAsked) {
  EXPECT_EQ(training_of("sequence_length: 1\nglobal_batch_size: 1\n").routing.balance, Balance::loss_free);
}

TEST(ReadTraining, MistakesHavePlaces) {
  EXPECT_THAT(training_mistakes("sequence_length: 4096\nglobal_batch_size: 15360\ntokens: 14.8 Tokens\n"),
              ElementsAre(HasSubstr("3:9 'tokens': 'Tokens' is not a unit of a count")));
  EXPECT_THAT(training_mistakes("sequence_length: 4K\nglobal_batch_size: 1_024\n"),
              ElementsAre(HasSubstr("1:18 'sequence_length'"), HasSubstr("2:20 'global_batch_size'")));
  EXPECT_THAT(training_mistakes("sequence_length: 1\nglobal_batch_size: 1\nbatch_size_schedule: {from: 1, to: 2, tokens: 1B}\n"),
              ElementsAre(HasSubstr("3:36 'batch_size_schedule.to': 2 is not global_batch_size")));
  EXPECT_THAT(training_mistakes("global_batch_size: 1\n"), ElementsAre("1:1 missing key 'sequence_length'"));
}

}  // namespace
}  // namespace trillion::read_plan_test
