// The model cut into stages. The algebra: the stages' blocks, joined, are embedding, every decoder layer once and in order, head,
// then each multi-token-prediction module with its head; the first layers are the running sum of the layers before.
#include "sim/workload/stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/error.h"
#include "sim/workload/schedule.h"
#include "tests/support/block_setting.h"

namespace trillion::stage_test {
namespace {

using namespace testing_support;
using testing::ElementsAre;
using enum BlockKind;

TEST(Stage, EndsOpenAndCloseTheModel) {
  EXPECT_THAT(make_stages(dense_model(3), {1, 2}), ElementsAre(Stage{embedding, dense_layer}, Stage{dense_layer, dense_layer, head}));
  EXPECT_THAT(make_stages(dense_model(1), {1}), ElementsAre(Stage{embedding, dense_layer, head}));
  EXPECT_THAT(make_stages(dense_model(1), {0, 1, 0}), ElementsAre(Stage{embedding}, Stage{dense_layer}, Stage{head}));
}

TEST(Stage, TheMethodBlockSparesLayersBeyondTheFirst) {
  const RecomputedLayers first_two{RecomputeMethod::block, 2};
  EXPECT_THAT(make_stages(dense_model(5), {3, 2}, first_two),
              ElementsAre(Stage{embedding, dense_layer, dense_layer, kept_dense_layer}, Stage{dense_layer, dense_layer, head}));
  EXPECT_THAT(make_stages(dense_model(3), {1, 2}, {RecomputeMethod::uniform, 2}), testing::Eq(make_stages(dense_model(3), {1, 2})));
}

TEST(Stage, JoinedStagesAreTheModel) {
  const Model model = shipped_model("deepseek-v3");
  Stage joined;
  for (const Stage& s : make_stages(model, {20, 21, 20})) joined.insert(joined.end(), s.begin(), s.end());
  Stage expected{embedding, dense_layer, dense_layer, dense_layer};
  expected.insert(expected.end(), 58, moe_layer);
  for (const BlockKind k : {head, mtp_layer, mtp_head}) expected.push_back(k);
  EXPECT_EQ(joined, expected);
}

TEST(Stage, LayersThatDoNotAddUpAreOurBug) { EXPECT_THROW(make_stages(dense_model(3), {1, 1}), InternalError); }

TEST(Stage, SchedulesCutTheModelDifferently) {
  Plan plan;
  plan.pipeline_parallel = 8;
  for (const ScheduleKind once :
       {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::zb_h1, ScheduleKind::zb_h2, ScheduleKind::dualpipe}) {
    plan.schedule = once;
    EXPECT_EQ(stage_count(plan), 8);
  }
  for (const ScheduleKind folded : {ScheduleKind::zb_v, ScheduleKind::dualpipe_v}) {
    plan.schedule = folded;
    EXPECT_EQ(stage_count(plan), 16);
  }
  plan.schedule = ScheduleKind::interleaved_1f1b;
  plan.virtual_pipeline_stages = 3;
  EXPECT_EQ(stage_count(plan), 24);
}

TEST(Stage, SchedulesAgreeWithTheirCount) {
  for (std::size_t k = 0; k < kScheduleNames.size(); ++k) {
    Plan plan;
    plan.schedule = static_cast<ScheduleKind>(k);
    plan.pipeline_parallel = 4;
    plan.virtual_pipeline_stages = plan.schedule == ScheduleKind::interleaved_1f1b ? 2 : 1;
    EXPECT_EQ(make_schedule(plan.schedule, 4, 16, plan.virtual_pipeline_stages).stages, stage_count(plan)) << kScheduleNames[k];
  }
}

TEST(Stage, AWrittenScheduleBringsItsOwnStages) {
  Plan plan;
  plan.pipeline_parallel = 2;
  plan.schedule_file = ScheduleFile{"mine.csv", "0F0,3F0,3B0,0B0\n1F0,2F0,2B0,1B0\n"};
  EXPECT_EQ(stage_count(plan), 4);
}

TEST(Stage, FirstLayersAreTheLayersBefore) { EXPECT_THAT(first_layers({4, 3, 0, 5}), ElementsAre(0, 4, 7, 7)); }

}  // namespace
}  // namespace trillion::stage_test
