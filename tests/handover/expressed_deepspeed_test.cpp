// What ds_config.json has no words for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/handover/support/plans.h"

namespace trillion::expressed_deepspeed_test {
namespace {

using namespace testing_support;

Expressed of(Plan p) {
  p.data_parallel = 8;
  if (!p.layers_per_stage) p.layers_per_stage = std::vector<std::int64_t>(static_cast<std::size_t>(stage_count(p)), 8 / stage_count(p));
  return expressed_in_deepspeed(linear_scenario(dense_model(8), p, p.tensor_parallel * p.pipeline_parallel * p.context_parallel, 64));
}

TEST(ExpressedInDeepspeed, ZeroOfEveryStageWithoutAPipeline) {
  for (const Sharding sharding : {Sharding::none, Sharding::zero_1, Sharding::zero_2, Sharding::zero_3}) {
    Plan p;
    p.sharding = sharding;
    EXPECT_TRUE(of(p).lost.empty());
    p.pipeline_parallel = 2;
    EXPECT_EQ(of(p).plan.sharding, std::min(sharding, Sharding::zero_1));
  }
}

TEST(ExpressedInDeepspeed, UlyssesAutoTpAndWholeLayers) {
  Plan p;
  p.tensor_parallel = 2;
  p.sequence_parallel = true;
  p.context_parallel = 2;
  p.recompute = {RecomputeModule::norm};
  const Expressed e = of(p);
  EXPECT_FALSE(e.plan.sequence_parallel);
  EXPECT_EQ(e.plan.context_parallel_method, ContextParallelMethod::all_to_all);
  EXPECT_EQ(e.plan.recompute, std::vector{RecomputeModule::layer});
  EXPECT_EQ(e.lost.size(), 3u);
}

TEST(ExpressedInDeepspeed, ExchangesEveryCopy) {
  Scenario s = dualpipe_scenario();
  EXPECT_EQ(expressed_in_deepspeed(s).plan.expert_exchange, ExpertExchange::all_to_all);
  s.plan.expert_parallel = 1;
  EXPECT_EQ(expressed_in_deepspeed(s).plan.expert_exchange, ExpertExchange::deduplicated) << "there is none";
}

TEST(ExpressedInDeepspeed, ThePipelineIsCutEvenly) {
  Plan p;
  p.pipeline_parallel = 2;
  p.layers_per_stage = {3, 5};
  EXPECT_EQ(of(p).plan.layers_per_stage, (std::vector<std::int64_t>{4, 4}));
}

}  // namespace
}  // namespace trillion::expressed_deepspeed_test
