// A rank's fullest moment, by hand.
#include "sim/workload/activation_walk.h"

#include <gtest/gtest.h>

namespace trillion::activation_walk_test {
namespace {

Action action(ActionKind kind, std::int32_t stage, std::int32_t micro_batch) { return {{kind, stage, micro_batch}, {}}; }

const std::vector<StageHold> kOne = {{.saved = Bytes{100}, .beside = Bytes{-10}, .split = Bytes{30}, .gradients = Bytes{50}}};

TEST(ActivationWalk, AllForwardPassesComeBeforeAnyGradient) {
  const FullestMoment m = fullest_moment({action(ActionKind::forward, 0, 0), action(ActionKind::forward, 0, 1),
                                          action(ActionKind::backward, 0, 0), action(ActionKind::backward, 0, 1)},
                                         kOne);
  EXPECT_EQ(m.in_flight, 2);
  EXPECT_EQ(m.held_of_stage, std::vector<std::int64_t>{2});
  EXPECT_EQ(m.saved, Bytes{200});
  EXPECT_EQ(m.beside, Bytes{-20});
  EXPECT_FALSE(m.has_gradients[0]);
}

TEST(ActivationWalk, ASecondPassMeetsTheGradientsOfTheFirst) {
  const FullestMoment m = fullest_moment({action(ActionKind::forward, 0, 0), action(ActionKind::backward, 0, 0),
                                          action(ActionKind::forward, 0, 1), action(ActionKind::backward, 0, 1)},
                                         kOne);
  EXPECT_EQ(m.in_flight, 1);
  EXPECT_TRUE(m.has_gradients[0]);
}

TEST(ActivationWalk, ASplitPassHoldsMoreUntilItsWeightGradients) {
  const std::vector<Action> split = {action(ActionKind::forward, 0, 0), action(ActionKind::input_gradient, 0, 0),
                                     action(ActionKind::weight_gradient, 0, 0)};
  const FullestMoment m = fullest_moment(split, kOne);
  EXPECT_EQ(m.saved, Bytes{100});
  EXPECT_EQ(m.beside, Bytes{20}) << "-10 + 30";
  EXPECT_FALSE(m.has_gradients[0]);
}

TEST(ActivationWalk, APairsForwardPassComesFirst) {
  const std::vector<StageHold> two = {{.saved = Bytes{100}, .beside = {}, .split = {}, .gradients = {}},
                                      {.saved = Bytes{40}, .beside = {}, .split = {}, .gradients = {}}};
  const FullestMoment m = fullest_moment({action(ActionKind::forward, 0, 0),
                                          {{ActionKind::forward, 1, 0}, Pass{ActionKind::backward, 0, 0}},
                                          action(ActionKind::backward, 1, 0)},
                                         two);
  EXPECT_EQ(m.saved, Bytes{140});
  EXPECT_EQ(m.held_of_stage, (std::vector<std::int64_t>{1, 1}));
}

// Nothing is left when all passes have ended, so that twice the list gives the same moment as once.
TEST(ActivationWalk, PropertyAStepEndsAsItBegan) {
  const std::vector<StageHold> no_gradients = {{.saved = Bytes{100}, .beside = Bytes{7}, .split = Bytes{30}, .gradients = {}}};
  std::vector<Action> once;
  for (std::int32_t i = 0; i < 3; ++i) once.push_back(action(ActionKind::forward, 0, i));
  for (std::int32_t i = 0; i < 3; ++i) once.push_back(action(ActionKind::input_gradient, 0, i));
  for (std::int32_t i = 0; i < 3; ++i) once.push_back(action(ActionKind::weight_gradient, 0, i));
  std::vector<Action> twice = once;
  twice.insert(twice.end(), once.begin(), once.end());
  const FullestMoment a = fullest_moment(once, no_gradients), b = fullest_moment(twice, no_gradients);
  EXPECT_EQ(a.saved, b.saved);
  EXPECT_EQ(a.beside, b.beside);
  EXPECT_EQ(a.beside, Bytes{3 * 37});
}

}  // namespace
}  // namespace trillion::activation_walk_test
