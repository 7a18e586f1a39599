// Where passes run. The algebra first: find(pass) is the place at which the schedule lists it, for every pass, and no other.
#include "sim/workload/schedule_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/error.h"

namespace trillion::schedule_index_test {
namespace {

using testing::ElementsAre;

std::vector<Pass> waits_for(const PassIndex& index, const Pass& pass) {
  const PassDependencies found = index.dependencies(pass);
  return {found.begin(), found.end()};
}

TEST(PassIndexTest, FindsEveryPassWhereItIsListed) {
  const PipelineSchedule schedule = make_schedule(ScheduleKind::dualpipe, 4, 12, 1);
  const PassIndex index(schedule);
  for (std::int32_t rank = 0; rank < 4; ++rank) {
    const auto& actions = schedule.ranks[static_cast<std::size_t>(rank)];
    for (std::int32_t position = 0; position < static_cast<std::int32_t>(actions.size()); ++position) {
      const Action& action = actions[static_cast<std::size_t>(position)];
      EXPECT_EQ(index.find(action.first), (PassPlace{rank, position}));
      EXPECT_EQ(index.rank_of(action.first.stage, action.first.micro_batch), rank);
      if (!action.second) continue;
      EXPECT_EQ(index.find(*action.second), (PassPlace{rank, position}));
    }
  }
}

TEST(PassIndexTest, BackwardAndInputGradientFindEachOther) {
  const PassIndex index(parse_schedule("0F0,0I0,0W0,0F1,0B1"));
  EXPECT_EQ(index.find({ActionKind::backward, 0, 0}), (PassPlace{0, 1}));
  EXPECT_EQ(index.find({ActionKind::input_gradient, 0, 1}), (PassPlace{0, 4}));
  EXPECT_FALSE(index.find({ActionKind::weight_gradient, 0, 1}).exists());
}

TEST(PassIndexTest, DependenciesGoDownForwardAndUpBackward) {
  const PassIndex index(make_schedule(ScheduleKind::zb_h1, 3, 4, 1));
  EXPECT_THAT(waits_for(index, {ActionKind::forward, 0, 2}), ElementsAre());
  EXPECT_THAT(waits_for(index, {ActionKind::forward, 2, 1}), ElementsAre(Pass{ActionKind::forward, 1, 1}));
  EXPECT_THAT(waits_for(index, {ActionKind::input_gradient, 2, 1}), ElementsAre(Pass{ActionKind::forward, 2, 1}));
  EXPECT_THAT(waits_for(index, {ActionKind::input_gradient, 1, 3}),
              ElementsAre(Pass{ActionKind::forward, 1, 3}, Pass{ActionKind::backward, 2, 3}));
  EXPECT_THAT(waits_for(index, {ActionKind::weight_gradient, 1, 3}), ElementsAre(Pass{ActionKind::input_gradient, 1, 3}));
}

TEST(PassIndexTest, RefusesWhatIsNotASchedule) {
  PipelineSchedule twice = parse_schedule("0F0,0B0");
  twice.ranks[0].push_back(twice.ranks[0][0]);
  EXPECT_THROW(PassIndex{twice}, InternalError);
  PipelineSchedule outside = parse_schedule("0F0,0B0");
  outside.ranks[0][1].first.stage = 1;
  EXPECT_THROW(PassIndex{outside}, InternalError);
  const PipelineSchedule empty{0, 0, {}};
  EXPECT_THROW(PassIndex{empty}, InternalError);
}

}  // namespace
}  // namespace trillion::schedule_index_test
