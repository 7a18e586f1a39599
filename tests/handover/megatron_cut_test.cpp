// How Megatron-LM's flags cut a model into stages.
#include "sim/handover/megatron_cut.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/handover/support/plans.h"

namespace trillion::megatron_cut_test {
namespace {

using namespace testing_support;
using Layers = std::vector<std::int64_t>;

struct Result {
  Plan plan;
  std::vector<std::string> notes;
  std::size_t problems = 0;
};

Result cut(const std::string& text, const Model& model) {
  const GivenFlags given = flags_of_script(text, "f");
  FlagReader flags(given);
  MegatronPlan to;
  read_megatron_stages(flags, model, to);
  return {to.plan, to.notes, flags.diagnostics().size()};
}

TEST(MegatronCut, EvenStagesAndChunks) {
  EXPECT_EQ(*cut("--x", dense_model(12)).plan.layers_per_stage, (Layers{12}));
  const Result chunks = cut("--pipeline-model-parallel-size 2 --num-layers-per-virtual-pipeline-stage 2", dense_model(12));
  EXPECT_EQ(chunks.plan.virtual_pipeline_stages, 3);
  EXPECT_EQ(chunks.plan.schedule, ScheduleKind::interleaved_1f1b);
  EXPECT_EQ(*chunks.plan.layers_per_stage, (Layers{2, 2, 2, 2, 2, 2}));
  EXPECT_EQ(cut("--pipeline-model-parallel-size 2 --num-virtual-stages-per-pipeline-rank 3", dense_model(12)).plan, chunks.plan);
}

TEST(MegatronCut, UnevenStages) {
  const std::string pipeline = "--pipeline-model-parallel-size 4 ";
  EXPECT_EQ(
      *cut(pipeline + "--decoder-first-pipeline-num-layers 1 --decoder-last-pipeline-num-layers 3", dense_model(12)).plan.layers_per_stage,
      (Layers{1, 4, 4, 3}));
  EXPECT_EQ(*cut(pipeline + "--decoder-last-pipeline-num-layers 0", dense_model(12)).plan.layers_per_stage, (Layers{4, 4, 4, 0}));
  EXPECT_EQ(*cut(pipeline + "--account-for-embedding-in-pipeline-split --account-for-loss-in-pipeline-split", dense_model(10))
                 .plan.layers_per_stage,
            (Layers{2, 3, 3, 2}));
  // Two chunks: embedding and loss stand for a layer of the first and the last stage.
  EXPECT_EQ(*cut("--pipeline-model-parallel-size 2 --num-virtual-stages-per-pipeline-rank 2 --account-for-loss-in-pipeline-split",
                 dense_model(11))
                 .plan.layers_per_stage,
            (Layers{3, 3, 3, 2}));
}

TEST(MegatronCut, Layouts) {
  const Result r = cut("--pipeline-model-parallel-size 2 --pipeline-model-parallel-layout 'Et|(tt|)*2tmL'", latent_model(6));
  EXPECT_EQ(r.problems, 0u);
  EXPECT_EQ(*r.plan.layers_per_stage, (Layers{1, 2, 2, 1}));
  EXPECT_EQ(r.plan.virtual_pipeline_stages, 2);
  EXPECT_TRUE(r.notes.empty());
  EXPECT_EQ(cut("--pipeline-model-parallel-size 2 --pipeline-model-parallel-layout 'Et*6|mL'", latent_model(6)).notes.size(), 0u);
  EXPECT_EQ(cut("--pipeline-model-parallel-size 3 --pipeline-model-parallel-layout 'Et*6|m|L'", latent_model(6)).notes.size(), 1u);
}

TEST(MegatronCut, WhatDoesNotDivideIsAProblem) {
  const std::string pipeline = "--pipeline-model-parallel-size 4 ";
  for (const std::string& text : {pipeline, pipeline + "--decoder-first-pipeline-num-layers 12",
                                  pipeline + "--decoder-first-pipeline-num-layers 1 --account-for-loss-in-pipeline-split",
                                  pipeline + "--pipeline-model-parallel-layout EttL", pipeline + "--pipeline-model-parallel-layout x",
                                  std::string("--num-virtual-stages-per-pipeline-rank 2")}) {
    EXPECT_GT(cut(text, dense_model(11)).problems, 0u) << text;
  }
  EXPECT_GT(cut("--pipeline-model-parallel-size 2 --num-virtual-stages-per-pipeline-rank 4", dense_model(12)).problems, 0u);
  EXPECT_GT(cut("--pipeline-model-parallel-size 2 --num-layers-per-virtual-pipeline-stage 4", dense_model(12)).problems, 0u);
}

}  // namespace
}  // namespace trillion::megatron_cut_test
