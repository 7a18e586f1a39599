// Why a layout is not faster. The algebra:
//   gains    each cause has the change that gains most among those that shorten it most; causes are in the order of their gains
//   removed  a change removes no more of a part than the part costs, up to what it turns into the opposite
//   merged   merging nothing is the base, merging one plan is that plan
#include "sim/planner/causes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "sim/estimate/result_json.h"
#include "tests/support/linear_machine.h"

namespace trillion::causes_test {
namespace {

using namespace testing_support;

struct Explained {
  Scenario scenario;
  StepResult base;
  std::vector<TriedChange> tried;
  std::vector<Cause> causes;
};

Explained explained(const Model& model, const Plan& plan, std::int64_t nodes, std::int64_t batch, std::size_t most = 3) {
  Explained e{linear_scenario(model, plan, nodes, batch), {}, {}, {}};
  e.base = std::get<StepResult>(simulate_step(e.scenario));
  e.tried = try_changes(e.base, neighbours(e.scenario), 2);
  e.causes = main_causes(e.scenario, e.base, e.tried, most);
  return e;
}

// A pipeline that fills badly, recomputes for nothing and waits for its gradients.
Plan bad_plan() {
  Plan p;
  p.pipeline_parallel = 4;
  p.schedule = ScheduleKind::gpipe;
  p.recompute = {RecomputeModule::layer};
  p.overlap_gradient_reduce = false;
  return p;
}

TEST(Causes, NameWhatABadPlanLosesAndItsRemedy) {
  const Explained e = explained(dense_model(8), bad_plan(), 1, 16);
  ASSERT_GE(e.causes.size(), 2u);
  std::set<std::string> parts;
  double last = 1;
  for (const Cause& c : e.causes) {
    parts.insert(c.part);
    EXPECT_LE(e.tried[c.change].gain, last);
    EXPECT_GE(e.tried[c.change].gain, kNoticeableGain);
    EXPECT_GT(c.removed, Seconds{});
    EXPECT_LE(c.time, e.base.time);
    last = e.tried[c.change].gain;
  }
  EXPECT_EQ(parts.size(), e.causes.size()) << "every cause once";
  EXPECT_TRUE(parts.contains("recomputation"));
  EXPECT_TRUE(parts.contains("pipeline bubble"));
}

TEST(Causes, TheChangeIsTheBestForItsPart) {
  const Explained all = explained(dense_model(8), bad_plan(), 1, 16, 100), three = explained(dense_model(8), bad_plan(), 1, 16);
  ASSERT_LE(three.causes.size(), 3u);
  for (std::size_t i = 0; i < three.causes.size(); ++i) EXPECT_EQ(three.causes[i].part, all.causes[i].part) << "the largest gains";
  for (const Cause& c : all.causes)
    EXPECT_NE(c.part, time_parts(all.scenario, all.base).front().name) << "what the model needs is no cause";
}

TEST(Causes, AllAtOnceIsTheMergedPlanSimulated) {
  const Explained e = explained(dense_model(8), bad_plan(), 1, 16);
  const TriedChange all = together(e.scenario, e.base, e.tried, e.causes);
  for (const Cause& c : e.causes) {
    EXPECT_NE(all.plan, e.tried[c.change].plan);
    EXPECT_THAT(all.what, testing::HasSubstr(e.tried[c.change].what.substr(0, e.tried[c.change].what.find('='))))
        << "every key is asked for";
  }
  Scenario changed = e.scenario;
  changed.plan = all.plan;
  EXPECT_EQ(std::get<StepResult>(all.outcome).time, std::get<StepResult>(simulate_step(changed)).time);
  EXPECT_GT(all.gain, e.tried[e.causes.front().change].gain);
}

TEST(Causes, AGoodPlanHasNone) {
  Plan p;
  p.precision = Precision::fp8;
  p.overlap_parameter_gather = true;
  const Explained e = explained(dense_model(4), p, 1, 64);
  for (const Cause& c : e.causes) EXPECT_GE(e.tried[c.change].gain, kNoticeableGain);
  EXPECT_TRUE(main_causes(e.scenario, e.base, {}).empty());
}

TEST(Causes, MergedPlans) {
  Plan base, one, two;
  one.micro_batch_size = 4;
  two.micro_batch_size = 2;
  two.recompute = {RecomputeModule::layer};
  EXPECT_EQ(merged(base, {}), base);
  EXPECT_EQ(merged(base, {one}), one);
  const Plan both = merged(base, {one, two});
  EXPECT_EQ(both.micro_batch_size, 4) << "the first that changes a key";
  EXPECT_EQ(both.recompute, two.recompute);
}

TEST(Causes, MergingKnowsEveryKey) {
  // A plan that has every key otherwise: whoever adds a key to Plan adds it here and to merged().
  Plan p;
  p.tensor_parallel = p.context_parallel = p.pipeline_parallel = p.virtual_pipeline_stages = p.expert_parallel = 2;
  p.expert_tensor_parallel = p.micro_batch_size = 2;
  p.sequence_parallel = true;
  p.tensor_parallel_overlap = TensorOverlap::pipelined;
  p.context_parallel_method = ContextParallelMethod::ring;
  p.data_parallel = 4;
  p.rank_order = {RankAxis::pipeline, RankAxis::tensor, RankAxis::context, RankAxis::expert, RankAxis::data};
  p.schedule = ScheduleKind::zb_v;
  p.schedule_file = ScheduleFile{"a", "b"};
  p.layers_per_stage = {1};
  p.sharding = Sharding::zero_3;
  p.sharding_group = 2;
  p.overlap_gradient_reduce = false;
  p.overlap_parameter_gather = true;
  p.bucket_parameters = 1e6;
  p.recompute = {RecomputeModule::layer};
  p.recomputed_layers = {RecomputeMethod::block, 2};
  p.offload = {Offload::optimizer};
  p.precision = Precision::fp8;
  p.expert_placement = ExpertPlacement::load_balanced;
  p.redundant_experts = 2;
  p.expert_exchange = ExpertExchange::all_to_all;
  EXPECT_EQ(merged(Plan{}, {p}), p);
  const auto ours = nlohmann::json::parse(plan_json_text(p)), defaults = nlohmann::json::parse(plan_json_text(Plan{}));
  for (const auto& [key, value] : ours.items()) EXPECT_NE(value, defaults[key]) << key << " is not in this test";
}

}  // namespace
}  // namespace trillion::causes_test
