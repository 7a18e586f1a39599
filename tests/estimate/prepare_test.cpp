// From a scenario to everything that a step is made of. The algebra: left-out keys come back resolved and consistent; routing that
// was drawn before is taken as it is; a plan that does not fit says what would help, and doing what it says gives what it says.
#include "sim/estimate/prepare.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "sim/base/number_text.h"
#include "tests/support/linear_machine.h"

namespace trillion::prepare_test {
namespace {

using namespace testing_support;

std::variant<PreparedStep, Infeasible> prepared(const Scenario& s) { return prepare(s, Timing(s.calibration, s.cluster)); }

Bytes peak(const PreparedStep& step) {
  Bytes largest;
  for (const StageMemory& m : step.memory) largest = std::max(largest, m.peak());
  return largest;
}

Scenario pipeline(Model model) {
  Plan plan;
  plan.pipeline_parallel = 4;
  return linear_scenario(std::move(model), plan, 4, 8 * 16);
}

TEST(Prepare, ResolvesWhatThePlanLeavesOpen) {
  const auto outcome = prepared(pipeline(dense_model(30)));
  ASSERT_TRUE(std::holds_alternative<PreparedStep>(outcome));
  const auto& step = std::get<PreparedStep>(outcome);
  EXPECT_EQ(step.plan.data_parallel, 8);
  ASSERT_TRUE(step.plan.layers_per_stage);
  EXPECT_EQ(step.plan.layers_per_stage->size(), 4u);
  EXPECT_EQ(std::accumulate(step.plan.layers_per_stage->begin(), step.plan.layers_per_stage->end(), std::int64_t{0}), 30);
  EXPECT_EQ(step.schedule.micro_batches, 16);
  EXPECT_EQ(step.cut.stages.size(), 4u);
  EXPECT_EQ(step.memory.size(), 4u);
}

TEST(Prepare, AHeavyHeadTakesLayersOffTheLastStage) {
  Scenario s = pipeline(dense_model(32));
  s.model.vocab_size = 128000;
  const std::vector<std::int64_t> layers = *std::get<PreparedStep>(prepared(s)).plan.layers_per_stage;
  EXPECT_LT(layers.back(), layers[1]);
}

TEST(Prepare, ACutFollowsFromItsCostsAndShapeAlone) {
  const Scenario s = pipeline(dense_model(30));
  const Timing timing(s.calibration, s.cluster);
  const DeviceMesh mesh(s.plan, s.cluster);
  const LayerRouting even;
  BlockMemory blocks(s, mesh, even);
  const LayerCosts costs = layer_costs(s, blocks, timing);
  EXPECT_EQ(costs, layer_costs(s, blocks, timing));
  EXPECT_EQ(costs.layers.size(), 30u);
  EXPECT_EQ(even_split(stage_shape(s.plan), costs), std::get<PreparedStep>(prepared(s)).plan.layers_per_stage);
}

TEST(Prepare, StagesThatShareARankAreCutAsPairs) {
  Plan plan;
  plan.pipeline_parallel = 4;
  EXPECT_EQ(stage_shape(plan), (StageShape{.stages = 4, .paired = false}));
  plan.schedule = ScheduleKind::dualpipe;
  EXPECT_TRUE(stage_shape(plan).paired);
}

TEST(Prepare, AnExplicitSplitIsHonoured) {
  Scenario s = pipeline(dense_model(30));
  s.plan.layers_per_stage = {3, 12, 12, 3};
  EXPECT_EQ(std::get<PreparedStep>(prepared(s)).plan.layers_per_stage, s.plan.layers_per_stage);
}

TEST(Prepare, RoutingDrawnBeforeIsTakenAsItIs) {
  Scenario s = pipeline(moe_model(8));
  s.plan.expert_parallel = 8;
  ExpertLoad known;
  known.samples.resize(1);
  known.mean.rank_load_max_over_mean = 1.75;
  const Timing timing(s.calibration, s.cluster);
  const auto outcome = prepare(s, timing, known);
  EXPECT_EQ(std::get<PreparedStep>(outcome).load.mean.rank_load_max_over_mean, 1.75);
  EXPECT_EQ(std::get<PreparedStep>(prepare(s, timing)).load.mean.rank_load_max_over_mean, 1);  // forced to be even
}

TEST(Prepare, ALayoutThatCannotBeIsSaidSo) {
  Scenario s = pipeline(dense_model(30));
  s.plan.tensor_parallel = 3;
  const auto outcome = prepared(s);
  ASSERT_TRUE(std::holds_alternative<Infeasible>(outcome));
}

TEST(Prepare, APairIsOneRankWithTwoChunks) {
  Scenario s = pipeline(moe_model(16));
  s.plan.schedule = ScheduleKind::dualpipe;
  s.extent = Extent::overlapped_pair;
  s.pair_layers = 3;
  const auto outcome = prepared(s);
  const auto& step = std::get<PreparedStep>(outcome);
  EXPECT_EQ(to_text(step.schedule), "(0F1;0B0)\n");
  EXPECT_EQ(step.cut.stages, std::vector<Stage>{Stage(3, BlockKind::moe_layer)});
  EXPECT_EQ(step.cut.first_layer, std::vector<std::int64_t>{13});
}

// Puts "plan.key: value" of a help sentence into the plan.
void apply(const std::string& help, Plan& plan) {
  const auto says = [&](const std::string& start) { return help.starts_with(start); };
  const auto number = [&] { return std::stoll(help.substr(help.find(':') + 1)); };
  using enum RecomputeModule;
  if (says("plan.recompute: selective")) {
    plan.recompute = {norm, activation};  // as spec/read_plan.cpp reads the word
  } else if (says("plan.recompute: [norm, mla_up_projection, activation]")) {
    plan.recompute = {norm, mla_up_projection, activation};
  } else if (says("plan.recompute: full")) {
    plan.recompute = {layer};
  } else if (says("plan.sharding: zero-1")) {
    plan.sharding = Sharding::zero_1;
  } else if (says("plan.micro_batch_size")) {
    plan.micro_batch_size = number();
  } else if (says("plan.tensor_parallel")) {
    plan.tensor_parallel = number();
  } else if (says("plan.pipeline_parallel")) {
    plan.pipeline_parallel = number();
  } else if (says("plan.expert_parallel")) {
    plan.expert_parallel = number();
  } else {
    ADD_FAILURE() << "unknown advice: " << help;
  }
  if (help.find("without") == std::string::npos) return;
  if (help.find("data_parallel") != std::string::npos) plan.data_parallel.reset();
  if (help.find("layers_per_stage") != std::string::npos) plan.layers_per_stage.reset();
}

// How many sentences promised a fit.
std::size_t expect_advice_holds(const Scenario& s) {
  const auto outcome = prepared(s);
  const auto* why = std::get_if<Infeasible>(&outcome);
  EXPECT_NE(why, nullptr);
  if (!why) return 0;
  EXPECT_NE(why->reason.find("more than the"), std::string::npos) << why->reason;
  EXPECT_FALSE(why->help.empty());
  std::size_t fits = 0;
  for (const std::string& help : why->help) {
    Scenario changed = s;
    apply(help, changed.plan);
    const bool promised = help.ends_with(" and fits");
    fits += promised ? 1 : 0;
    const auto tried = prepared(changed);
    EXPECT_EQ(std::holds_alternative<PreparedStep>(tried), promised) << help;
    changed.cluster.gpu.usable_memory = Bytes{1e15};
    const auto measured = prepared(changed);
    const auto* step = std::get_if<PreparedStep>(&measured);
    EXPECT_NE(step, nullptr) << help << ": " << (step ? "" : std::get<Infeasible>(measured).reason);
    if (!step) continue;
    EXPECT_NE(help.find(" needs " + bytes_text(peak(*step))), std::string::npos) << help;
  }
  return fits;
}

TEST(Prepare, AdviceForADensePlanHolds) {
  Scenario s = pipeline(dense_model(32));
  s.plan.sharding = Sharding::none;
  s.plan.micro_batch_size = 2;
  s.cluster.gpu.usable_memory = Bytes{40e9};
  EXPECT_GT(expect_advice_holds(s), 0u);
}

TEST(Prepare, AdviceHoldsForPlansThatFixEveryKey) {
  Scenario s = pipeline(dense_model(32));
  s.plan.data_parallel = 8;
  s.plan.layers_per_stage = {8, 8, 8, 8};
  s.cluster.gpu.usable_memory = Bytes{25e9};
  EXPECT_GT(expect_advice_holds(s), 0u);
}

TEST(Prepare, AdviceForAMixtureWithLatentAttentionHolds) {
  Scenario s = pipeline(moe_model(8));
  s.model.mla =
      LatentAttention{.q_lora_rank = 1536, .kv_lora_rank = 512, .qk_nope_head_dim = 128, .qk_rope_head_dim = 64, .v_head_dim = 128};
  s.plan.expert_parallel = 2;
  s.cluster.gpu.usable_memory = Bytes{18e9};
  EXPECT_GT(expect_advice_holds(s), 0u);
}

TEST(Prepare, APairOnAClusterTooSmallForItsPlanIsInfeasible) {
  Plan plan;
  plan.schedule = ScheduleKind::dualpipe;
  plan.pipeline_parallel = 16;
  Scenario s = linear_scenario(dense_model(32), plan, 1, 64);  // 8 GPUs
  s.extent = Extent::overlapped_pair;
  s.pair_layers = 4;
  const Timing timing(s.calibration, s.cluster);
  const auto outcome = prepare(s, timing);
  ASSERT_TRUE(std::holds_alternative<Infeasible>(outcome));
  EXPECT_NE(std::get<Infeasible>(outcome).reason.find("the cluster has 8"), std::string::npos);
}

}  // namespace
}  // namespace trillion::prepare_test
