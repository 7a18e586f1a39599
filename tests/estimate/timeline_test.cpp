// One rank's step as a sequence of moments, on graphs made by hand. The algebra:
//   phases    add up to the makespan; busy time is its pass's, idle time its communication's pass's, or bubble
//   exposed   what is in flight while the compute stream is idle, counted once, the exchange before the others
//   draining  a transfer on its way from a neighbour is exposed and bubble; gradients on the wire are neither before the last pass
//   the end   from the last pass on all waiting is the optimizer's
#include "sim/estimate/timeline.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <random>
#include <string>
#include <vector>

namespace trillion::timeline_test {
namespace {

constexpr Pass kForward{ActionKind::forward, 0, 0}, kBackward{ActionKind::backward, 0, 0};

// Tasks last whole seconds. Rank 0 is the one that is looked at.
class HandMade {
 public:
  explicit HandMade(std::vector<Action> actions) {
    schedule_.ranks = {std::move(actions), {}};
    for (std::size_t rank = 0; rank < 2; ++rank) {
      auto& lanes = step_.streams.emplace_back();
      for (std::size_t lane = 0; lane < kLaneCount; ++lane)
        lanes[lane] = step_.graph.add_stream(std::to_string(rank) + "." + std::to_string(lane));
    }
  }

  TaskId add(std::size_t rank, Lane lane, Category category, double seconds, std::initializer_list<TaskId> after = {}) {
    const KindId kind = step_.graph.add_kind({"task", static_cast<std::uint16_t>(category), SimTime::from(Seconds{seconds}), {}});
    return step_.graph.add(step_.streams[rank][static_cast<std::size_t>(lane)], kind, std::vector<TaskId>(after));
  }
  TaskId compute(double seconds, std::initializer_list<TaskId> after = {}) {
    return add(0, Lane::compute, Category::attention, seconds, after);
  }

  // What was added since the last call is rank 0's next action.
  void action() {
    const TaskId end{static_cast<std::uint32_t>(step_.graph.task_count())};
    step_.spans.push_back(
        {0, static_cast<std::int32_t>(step_.spans.size()), step_.spans.empty() ? TaskId{0} : step_.spans.back().end, end});
    step_.step_end = end;
  }

  RankTimeline timeline() {
    trace_ = run(step_.graph);
    return rank_timeline(step_, schedule_, trace_, 0);
  }
  double makespan() const { return trace_.makespan.seconds().value(); }
  double busy() const { return compute_busy(step_, trace_, 0).value(); }

 private:
  LoweredStep step_;
  PipelineSchedule schedule_;
  Trace trace_;
};

// Seconds, to a picosecond's rounding.
void expect_seconds(Seconds found, double expected) { EXPECT_NEAR(found.value(), expected, 1e-9); }

TEST(Timeline, BusyTimeBelongsToItsPass) {
  HandMade h({{kForward, {}}, {{ActionKind::input_gradient, 0, 0}, {}}, {{ActionKind::weight_gradient, 0, 0}, {}}, {kForward, kBackward}});
  for (const double seconds : {2.0, 3.0, 1.0, 5.0}) {
    h.compute(seconds);
    h.action();
  }
  const PhaseSeconds p = h.timeline().phases;
  expect_seconds(p.forward, 2);
  expect_seconds(p.backward, 3);
  expect_seconds(p.weight, 1);
  expect_seconds(p.forward_backward, 5);
  expect_seconds(p.total(), 11);
  EXPECT_NEAR(h.busy(), 11, 1e-9);
}

TEST(Timeline, WaitingForANeighboursWorkIsBubble) {
  HandMade h({{kForward, {}}, {kBackward, {}}});
  const TaskId forward = h.compute(1);
  h.action();
  const TaskId there = h.add(1, Lane::compute, Category::attention, 4, {forward});
  h.compute(2, {there});
  h.action();
  const RankTimeline t = h.timeline();
  expect_seconds(t.phases.bubble, 4);
  expect_seconds(t.phases.backward, 2);
  expect_seconds(t.exposed.pipeline_p2p, 0);
  expect_seconds(t.phases.total(), h.makespan());
}

TEST(Timeline, ATransferOnItsWayIsExposedAndBubble) {
  HandMade h({{kForward, {}}, {kBackward, {}}});
  const TaskId forward = h.compute(1);
  h.action();
  const TaskId there = h.add(1, Lane::compute, Category::attention, 4, {forward});
  const TaskId sent = h.add(1, Lane::pipeline_backward, Category::pipeline_p2p, 1.5, {there});
  h.compute(2, {sent});
  h.action();
  const RankTimeline t = h.timeline();
  expect_seconds(t.phases.bubble, 5.5);
  expect_seconds(t.exposed.pipeline_p2p, 1.5);
}

TEST(Timeline, AnExchangeIsExposedWhereNothingRunsBesideIt) {
  HandMade h({{kForward, {}}});
  const TaskId before = h.compute(2);
  const TaskId dispatch = h.add(0, Lane::expert, Category::expert_all_to_all, 3, {before});
  h.compute(2);  // hides two of its three seconds
  h.compute(1, {dispatch});
  h.action();
  const RankTimeline t = h.timeline();
  expect_seconds(t.exposed.expert_all_to_all, 1);
  expect_seconds(t.phases.forward, 2 + 2 + 1 + 1);  // the wait belongs to the pass that waits
  expect_seconds(t.phases.bubble, 0);
  EXPECT_NEAR(h.busy(), 5, 1e-9);
}

TEST(Timeline, TwoCommunicationsAtOnceAreCountedOnce) {
  HandMade h({{kForward, {}}});
  const TaskId before = h.compute(1);
  const TaskId exchange = h.add(0, Lane::expert, Category::expert_all_to_all, 3, {before});
  const TaskId reduce = h.add(0, Lane::tensor, Category::tensor_parallel, 5, {before});
  h.compute(1, {exchange, reduce});
  h.action();
  const RankTimeline t = h.timeline();
  expect_seconds(t.exposed.expert_all_to_all, 3);
  expect_seconds(t.exposed.tensor_parallel, 2);
  expect_seconds(t.phases.total(), 1 + 5 + 1);
}

TEST(Timeline, GradientsOnTheWireAreExposedOnlyAfterTheLastPass) {
  HandMade h({{kForward, {}}, {kBackward, {}}});
  const TaskId forward = h.compute(1);
  const TaskId reduced = h.add(0, Lane::reduce, Category::gradient_reduce, 10, {forward});
  h.action();
  const TaskId there = h.add(1, Lane::compute, Category::attention, 3, {forward});
  h.compute(1, {there});
  h.action();
  h.add(0, Lane::compute, Category::optimizer, 2, {reduced});  // after step_end
  const RankTimeline t = h.timeline();
  expect_seconds(t.phases.bubble, 3);
  expect_seconds(t.exposed.gradient_reduce, 11 - 5);
  expect_seconds(t.phases.optimizer, 6 + 2);
  expect_seconds(t.phases.total(), 13);
}

TEST(Timeline, WhatFollowsTheLastKernelIsTheOptimizers) {
  HandMade h({{kForward, {}}});
  h.compute(1);
  h.action();
  const TaskId update = h.add(0, Lane::compute, Category::optimizer, 1);
  h.add(0, Lane::gather, Category::parameter_gather, 4, {update});
  const RankTimeline t = h.timeline();
  expect_seconds(t.exposed.parameter_gather, 4);
  expect_seconds(t.phases.optimizer, 5);
}

TEST(TimelineProperty, PhasesAddUpToTheMakespanOnAnyGraph) {
  for (unsigned seed = 0; seed < 100; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    HandMade h({{kForward, {}}, {kBackward, {}}, {kForward, kBackward}});
    std::vector<TaskId> tasks;
    constexpr Lane kLanes[] = {Lane::compute, Lane::expert, Lane::tensor, Lane::reduce, Lane::gather, Lane::pipeline_backward};
    constexpr Category kCategories[] = {Category::attention,       Category::expert_all_to_all, Category::tensor_parallel,
                                        Category::gradient_reduce, Category::parameter_gather,  Category::pipeline_p2p};
    for (int action = 0; action < 4; ++action) {  // the last one is the step's end
      for (int i = 0; i < 12; ++i) {
        const unsigned kind = pick(6);
        const std::size_t rank = kind == 5 || pick(4) == 0 ? 1 : 0;
        const TaskId after = tasks.empty() ? TaskId{} : tasks[pick(static_cast<unsigned>(tasks.size()))];
        tasks.push_back(after.valid() ? h.add(rank, kLanes[kind], kCategories[kind], pick(5), {after})
                                      : h.add(rank, kLanes[kind], kCategories[kind], pick(5)));
      }
      if (action < 3) h.action();
    }
    const RankTimeline t = h.timeline();
    const ExposedSeconds& e = t.exposed;
    const Seconds exposed = e.expert_all_to_all + e.pipeline_p2p + e.tensor_parallel + e.gradient_reduce + e.parameter_gather;
    EXPECT_NEAR(t.phases.total().value(), h.makespan(), 1e-9) << "seed " << seed;
    EXPECT_LE(exposed.value(), h.makespan() - h.busy() + 1e-9) << "seed " << seed;
  }
}

}  // namespace
}  // namespace trillion::timeline_test
