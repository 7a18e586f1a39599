#include "sim/spec/training.h"

#include <cmath>
#include <functional>

#include "tests/spec/mistakes.h"

namespace trillion::training_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

std::vector<std::string> broken(const std::function<void(Training&)>& change) {
  Training t;
  t.sequence_length = 4096;
  t.global_batch_size = 15360;
  t.tokens = 14.8e12;
  t.batch_size_schedule = BatchRamp{3072, 15360, 469e9, 8};
  change(t);
  return t.validate();
}

TEST(Training, AGoodOnePasses) {
  EXPECT_THAT(broken([](Training&) {}), IsEmpty());
}

TEST(Training, EveryFigureHasARange) {
  EXPECT_THAT(broken([](Training& t) { t.sequence_length = 0; }), ElementsAre(StartsWith("sequence_length: ")));
  EXPECT_THAT(broken([](Training& t) { t.batch_size_schedule.reset(), t.global_batch_size = 0; }),
              ElementsAre(StartsWith("global_batch_size: ")));
  EXPECT_THAT(broken([](Training& t) { t.tokens = -1; }), ElementsAre(StartsWith("tokens: ")));
  EXPECT_THAT(broken([](Training& t) { t.tokens = std::nan(""); }), ElementsAre(StartsWith("tokens: ")));
  EXPECT_THAT(broken([](Training& t) { t.optimizer = "sgd"; }), ElementsAre("optimizer: accepted is adamw, found 'sgd'"));
  EXPECT_THAT(broken([](Training& t) { t.optimizer_state.moment_bytes = 3; }), ElementsAre(StartsWith("optimizer_state.moment_bytes: ")));
  EXPECT_THAT(broken([](Training& t) { t.routing.popularity_skew = -1; }), ElementsAre(StartsWith("routing.popularity_skew: ")));
  EXPECT_THAT(broken([](Training& t) { t.routing.domains = 0; }), ElementsAre(StartsWith("routing.domains: ")));
  EXPECT_THAT(broken([](Training& t) { t.routing.domains = 1 << 20; }),
              ElementsAre("routing.domains: must be at most 1024, found 1048576"));
}

TEST(Training, TheRampEndsWhereTheRunGoesOn) {
  EXPECT_THAT(broken([](Training& t) { t.batch_size_schedule->from = 20000; }),
              ElementsAre(StartsWith("batch_size_schedule.from: 20000 is more than")));
  EXPECT_THAT(broken([](Training& t) { t.batch_size_schedule->to = 10000; }),
              ElementsAre(StartsWith("batch_size_schedule.to: 10000 is not global_batch_size")));
  EXPECT_THAT(broken([](Training& t) { t.batch_size_schedule->tokens = 15e12; }),
              ElementsAre("batch_size_schedule.tokens: 15T is more than the run's tokens, 14.8T"));
  EXPECT_THAT(broken([](Training& t) { t.batch_size_schedule->stairs = 0; }), ElementsAre(StartsWith("batch_size_schedule.stairs: ")));
}

TEST(Training, PaddingNeedsACapacity) {
  EXPECT_THAT(broken([](Training& t) { t.routing.capacity_factor = 0; }), ElementsAre(StartsWith("routing.capacity_factor: ")));
  EXPECT_THAT(broken([](Training& t) { t.routing.pad_to_capacity = true; }), ElementsAre(StartsWith("routing.pad_to_capacity: ")));
  EXPECT_THAT(broken([](Training& t) { t.routing.capacity_factor = 1.25, t.routing.pad_to_capacity = true; }), IsEmpty());
  EXPECT_THAT(broken([](Training& t) { t.routing.bias_update_speed = -1; }), ElementsAre(StartsWith("routing.bias_update_speed: ")));
}

TEST(Training, MeasuredRoutingNeedsAMeasurement) {
  EXPECT_THAT(broken([](Training& t) { t.routing.balance = Balance::measured; }), ElementsAre(StartsWith("routing.balance: ")));
}

}  // namespace
}  // namespace trillion::training_test
