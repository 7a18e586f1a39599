// Why a plan cannot run. The algebra: the reason names the key and the number that it clashes with; every value that `help` offers,
// put into the scenario, makes that reason go away; and a scenario without a reason can be laid out.
#include "sim/workload/feasibility.h"

#include <gtest/gtest.h>

#include <functional>
#include <regex>
#include <string>
#include <vector>

#include "tests/support/laid_out_step.h"

namespace trillion::feasibility_test {
namespace {

using namespace testing_support;

Scenario dense() {
  Scenario s = linear_scenario(dense_model(32), {}, 8, 192);
  s.model.num_attention_heads = 96;
  s.model.num_key_value_heads = 8;
  s.model.intermediate_size = 96 * 128;
  return s;
}

Scenario mixture() { return linear_scenario(moe_model(32), {}, 8, 192); }

using Change = std::function<void(Scenario&)>;

struct Case {
  std::string reason;  // a part of it
  Scenario scenario;
  Change change;
};

std::vector<Case> cases() {
  return {
      {"plan.tensor_parallel 5 does not divide the 96 attention heads", dense(), [](Scenario& s) { s.plan.tensor_parallel = 5; }},
      {"plan.tensor_parallel 6 does not divide the 8 key-value heads", dense(), [](Scenario& s) { s.plan.tensor_parallel = 6; }},
      {"plan.tensor_parallel 12 does not divide the 8 key-value heads", dense(), [](Scenario& s) { s.plan.tensor_parallel = 12; }},
      {"plan.tensor_parallel 8 does not divide the 12 channels of intermediate_size", dense(),
       [](Scenario& s) {
         s.plan.tensor_parallel = 8;
         s.model.intermediate_size = 12;
       }},
      {"plan.context_parallel 4 does not divide the 6 tokens of half a sequence", dense(),
       [](Scenario& s) {
         s.plan.context_parallel = 4;
         s.training.sequence_length = 12;
       }},
      {"plan.context_parallel 2 needs an even training.sequence_length, which is 4097", dense(),
       [](Scenario& s) {
         s.plan.context_parallel = 2;
         s.training.sequence_length = 4097;
       }},
      {"plan.context_parallel 3 does not divide the 8 key-value heads of a tensor-parallel rank", dense(),
       [](Scenario& s) {
         s.plan.context_parallel = 3;
         s.plan.context_parallel_method = ContextParallelMethod::all_to_all;
         s.training.sequence_length = 3072;
         s.cluster.nodes = 9;
         s.training.global_batch_size = 216;
       }},
      {"plan.expert_parallel 128 is more than the 64 routed experts", mixture(), [](Scenario& s) { s.plan.expert_parallel = 128; }},
      {"plan.redundant_experts 8, but all experts are on one rank", mixture(),
       [](Scenario& s) {
         s.plan.expert_placement = ExpertPlacement::load_balanced;
         s.plan.redundant_experts = 8;
       }},
      {"plan.expert_tensor_parallel 7 does not divide the 1536 channels of an expert", mixture(),
       [](Scenario& s) { s.plan.expert_tensor_parallel = 7; }},
      {"plan.expert_parallel 8, but dense has no experts", dense(), [](Scenario& s) { s.plan.expert_parallel = 8; }},
      {"plan.expert_tensor_parallel 2, but dense has no experts", dense(), [](Scenario& s) { s.plan.expert_tensor_parallel = 2; }},
      {"16 pipeline stages, but dense has 4 layers, an embedding and a head", dense(),
       [](Scenario& s) {
         s.plan.schedule = ScheduleKind::zb_v;
         s.plan.pipeline_parallel = 8;
         s.model.num_hidden_layers = 4;
       }},
      {"training.global_batch_size 100 is not a multiple of data_parallel 64 x micro_batch_size 1", dense(),
       [](Scenario& s) { s.training.global_batch_size = 100; }},
  };
}

// "plan.tensor_parallel: 4 or 8 would" -> the key's field.
std::int64_t& field(Scenario& s, const std::string& key) {
  if (key == "plan.tensor_parallel") return s.plan.tensor_parallel;
  if (key == "plan.context_parallel") return s.plan.context_parallel;
  if (key == "plan.pipeline_parallel") return s.plan.pipeline_parallel;
  if (key == "plan.expert_parallel") return s.plan.expert_parallel;
  if (key == "plan.expert_tensor_parallel") return s.plan.expert_tensor_parallel;
  if (key == "plan.redundant_experts") return s.plan.redundant_experts;
  EXPECT_EQ(key, "training.global_batch_size");
  return s.training.global_batch_size;
}

TEST(Feasibility, WhatTheCasesStartFromRuns) {
  EXPECT_FALSE(why_layout_impossible(dense()));
  EXPECT_FALSE(why_layout_impossible(mixture()));
}

TEST(Feasibility, ReasonsNameTheClashAndHelpResolvesIt) {
  for (Case c : cases()) {
    c.change(c.scenario);
    // The model's reasons do not wait for a cluster that fits; a pair has no mesh.
    const bool about_the_model = c.reason.find("stages") == std::string::npos && c.reason.find("batch") == std::string::npos;
    if (about_the_model) c.scenario.extent = Extent::overlapped_pair;
    const auto why = why_layout_impossible(c.scenario);
    ASSERT_TRUE(why) << c.reason;
    EXPECT_EQ(why->reason.find(c.reason), 0u) << why->reason;
    ASSERT_EQ(why->help.size(), 1u) << why->reason;

    const std::string& help = why->help.front();
    const std::regex number("[0-9]+");
    const std::size_t colon = help.find(':');
    const std::string values = help.substr(colon);
    std::size_t tried = 0;
    for (std::sregex_iterator n(values.begin(), values.end(), number), end; n != end; ++n, ++tried) {
      Scenario changed = c.scenario;
      field(changed, help.substr(0, colon)) = std::stoll(n->str());
      const auto still = why_layout_impossible(changed);
      EXPECT_FALSE(still) << help << " leaves: " << (still ? still->reason : "");
    }
    EXPECT_GT(tried, 0u) << help;
  }
}

TEST(Feasibility, MoreRanksThanKeyValueHeadsMayShareThem) {
  Scenario s = dense();
  s.plan.tensor_parallel = 16;
  EXPECT_FALSE(why_layout_impossible(s));
}

TEST(Feasibility, ExplicitStagesMustFitPlanAndModel) {
  Scenario s = dense();
  s.plan.pipeline_parallel = 4;
  s.plan.layers_per_stage = {8, 8, 8};
  EXPECT_EQ(why_layout_impossible(s)->reason, "plan.layers_per_stage lists 3 stages, the plan has 4");
  s.plan.layers_per_stage = {8, 8, 8, 9};
  EXPECT_EQ(why_layout_impossible(s)->reason, "plan.layers_per_stage adds up to 33 layers, dense has 32");
  s.plan.layers_per_stage = {7, 8, 8, 9};
  EXPECT_FALSE(why_layout_impossible(s));
}

TEST(Feasibility, MeshAndScheduleHaveTheirSay) {
  Scenario s = dense();
  s.plan.data_parallel = 5;
  EXPECT_NE(why_layout_impossible(s)->reason.find("data_parallel 5"), std::string::npos) << why_layout_impossible(s)->reason;
  s = dense();
  s.plan.schedule = ScheduleKind::dualpipe;
  s.plan.pipeline_parallel = 16;  // 4 replicas, 48 micro-batches each
  EXPECT_FALSE(why_layout_impossible(s));
  s.training.global_batch_size = 4 * 30;
  EXPECT_NE(why_layout_impossible(s)->reason.find("at least 2 x pipeline_parallel = 32"), std::string::npos);
}

TEST(Feasibility, MicroBatchesShareTheBatchOfOneReplica) {
  Scenario s = dense();
  EXPECT_EQ(micro_batches(s), 192 / 64);
  s.plan.tensor_parallel = 8;
  s.plan.pipeline_parallel = 2;
  s.plan.micro_batch_size = 3;
  EXPECT_EQ(micro_batches(s), 192 / (64 / 16) / 3);
}

StageMemory needing(std::int64_t rank, double gib) {
  StageMemory m;
  m.stage = rank;
  m.activations = gib * kGiB;
  return m;
}

TEST(Feasibility, MemoryIsShortWhereTheWorstRankNeedsMoreThanUsable) {
  Gpu gpu;
  gpu.name = "Example";
  gpu.usable_memory = 80.0 * kGiB;
  EXPECT_FALSE(why_memory_short({needing(0, 80), needing(1, 10)}, gpu));
  EXPECT_FALSE(why_memory_short({}, gpu));
  const auto why = why_memory_short({needing(0, 81), needing(1, 90), needing(2, 85)}, gpu);
  ASSERT_TRUE(why);
  for (const char* part : {"pipeline rank 1 needs 90.0 GiB", "10.0 GiB more than the 80.0 GiB usable on Example", "activations 90.0 GiB"}) {
    EXPECT_NE(why->reason.find(part), std::string::npos) << why->reason;
  }
}

}  // namespace
}  // namespace trillion::feasibility_test
