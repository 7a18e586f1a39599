// A schedule chunk by chunk. The algebra:
//   ideal      without communication it is workload/schedule_ideal.h's run, for every schedule
//   bound      is never above it, and on one rank it is the work
//   transfer   makes a step longer by at least the way there and back
//   last       the last action with a stage's weights reduces its gradients, its first forward pass gathers its parameters: one of each
//   beside     communication at the end of an action hides behind the next one's kernels where these do not wait for it
#include "sim/workload/chunk_run.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sim/workload/schedule_ideal.h"

namespace trillion::chunk_run_test {
namespace {

// Kernels alone, every result at the action's end.
ChunkProfile plain(const Action& a, const std::vector<StageTimes>& times) {
  const auto of = [&](const Pass& p) { return times[static_cast<std::size_t>(p.stage)].of(p.kind); };
  const double length = of(a.first) + (a.second ? of(*a.second) : 0);
  ChunkProfile profile;
  profile.compute = {0, length};
  for (const Pass* p : {&a.first, a.second ? &*a.second : nullptr}) {
    if (!p || p->kind == ActionKind::weight_gradient) continue;
    (p->kind == ActionKind::forward ? profile.forward : profile.backward) = {0, length};
  }
  return profile;
}

std::vector<ChunkProfile> plain(const ChunkProgram& program, const std::vector<StageTimes>& times) {
  std::vector<ChunkProfile> out;
  for (const Action& a : program.distinct()) out.push_back(plain(a, times));
  return out;
}

std::vector<const ChunkProfile*> pointers(const std::vector<ChunkProfile>& profiles) {
  std::vector<const ChunkProfile*> out;
  for (const ChunkProfile& p : profiles) out.push_back(&p);
  return out;
}

std::vector<StageTimes> uneven(std::int32_t stages) {
  std::vector<StageTimes> times;
  for (std::int32_t s = 0; s < stages; ++s) times.push_back({1 + 0.1 * (s % 3), 1.5 + 0.1 * (s % 2), 0.75});
  return times;
}

PipelineSchedule schedule(ScheduleKind kind, std::int64_t ranks, std::int64_t micro_batches) {
  return make_schedule(kind, ranks, micro_batches, kind == ScheduleKind::interleaved_1f1b ? 2 : 1);
}

// The same as chains: kernels alone.
std::vector<BlockChains> chains(const std::vector<StageTimes>& times) {
  std::vector<BlockChains> out;
  const auto chain = [](double seconds) { return ChainTime{0, seconds, 0, seconds, 0, true}; };
  for (const StageTimes& t : times) out.push_back({chain(t.forward), chain(t.input_gradient), t.weight_gradient});
  return out;
}

TEST(ChunkRun, WithoutCommunicationItIsTheIdealRunAndTheBoundIsBelow) {
  for (std::size_t kind = 0; kind < kScheduleNames.size(); ++kind) {
    const PipelineSchedule s = schedule(static_cast<ScheduleKind>(kind), 4, 16);
    const ChunkProgram program(s);
    const std::vector<StageTimes> times = uneven(s.stages);
    const std::vector<ChunkProfile> profiles = plain(program, times);
    const double ideal = ideal_run(s, {times, 1}).makespan;
    EXPECT_DOUBLE_EQ(program.run(pointers(profiles), 0).makespan, ideal) << kScheduleNames[kind];
    EXPECT_LE(program.bound(chains(times)), ideal * (1 + 1e-12)) << kScheduleNames[kind];
    EXPECT_GE(program.bound(chains(times)), ideal * 0.7) << kScheduleNames[kind];
  }
}

TEST(ChunkRun, OnOneRankTheBoundIsTheWork) {
  const ChunkProgram program(schedule(ScheduleKind::one_f_one_b, 1, 8));
  EXPECT_DOUBLE_EQ(program.bound(chains({{1, 2, 3}})), 8 * 6);
}

// lead 0.25, kernels, tail 0.5: what is waited for counts once a pass where nothing runs beside it, and where exchanges are more than
// kernels they are what binds.
TEST(ChunkRun, TheBoundKnowsWhatAPassWaitsFor) {
  const ChunkProgram one(schedule(ScheduleKind::one_f_one_b, 1, 8));
  BlockChains c = chains({{1, 2, 0}}).front();
  c.forward.tail = 0.5;
  EXPECT_DOUBLE_EQ(one.bound({c}), 8 * 3 + 8 * 0.5) << "the backward pass of a micro-batch follows its forward pass";
  c.forward.exchanges = 10;
  EXPECT_DOUBLE_EQ(one.bound({c}), 80);
  const ChunkProgram four(schedule(ScheduleKind::one_f_one_b, 4, 16));
  const std::vector<BlockChains> plain = chains(uneven(4));
  EXPECT_GE(four.bound(plain, 0.01), four.bound(plain) + 0.01 - 1e-12);
  const ChunkProgram twelve(schedule(ScheduleKind::one_f_one_b, 4, 12)), thirty(schedule(ScheduleKind::one_f_one_b, 4, 30));
  const double slope = (four.bound(plain) - twelve.bound(plain)) / 4;
  EXPECT_LE(four.bound(plain) + 14 * slope, thirty.bound(plain) * (1 + 1e-12)) << "in a straight line it stays a bound";
}

TEST(ChunkRun, TransfersLengthenTheWayThereAndBack) {
  const PipelineSchedule s = schedule(ScheduleKind::one_f_one_b, 4, 8);
  const ChunkProgram program(s);
  const std::vector<ChunkProfile> profiles = plain(program, uneven(4));
  const double without = program.run(pointers(profiles), 0).makespan, with = program.run(pointers(profiles), 0.01).makespan;
  EXPECT_GE(with, without + 2 * 3 * 0.01 - 1e-12);
}

TEST(ChunkRun, AFirstForwardPassWaitsForItsParameters) {
  const ChunkProgram program(schedule(ScheduleKind::gpipe, 1, 2));
  const std::vector<ChunkProfile> profiles = plain(program, {{1, 1, 1}});
  const double plainly = program.run(pointers(profiles), 0).makespan;
  EXPECT_DOUBLE_EQ(program.run(pointers(profiles), 0, {3}).makespan, plainly + 3);
}

TEST(ChunkRun, TrailingCommunicationHidesBehindWhatDoesNotWaitForIt) {
  // zb-h1 ends with weight gradients. A forward pass that ends with one second of communication costs the rank nothing where a
  // weight gradient follows it, and its successor the second.
  const PipelineSchedule s = parse_schedule("0F0,0F1,0I0,0W0,0I1,0W1\n");
  const ChunkProgram program(s);
  std::vector<ChunkProfile> profiles = plain(program, {{1, 1, 1}});
  const double without = program.run(pointers(profiles), 0).makespan;
  for (std::size_t i = 0; i < profiles.size(); ++i) {
    if (program.distinct()[i].first.kind != ActionKind::input_gradient) continue;
    profiles[i].communication = {1, 2};  // after its kernels
  }
  EXPECT_DOUBLE_EQ(program.run(pointers(profiles), 0).makespan, without);
  for (std::size_t i = 0; i < profiles.size(); ++i) {
    if (program.distinct()[i].first.kind == ActionKind::weight_gradient) profiles[i].communication = {0, 0.5};  // before its kernels end
  }
  EXPECT_DOUBLE_EQ(program.run(pointers(profiles), 0).makespan, without + 2);
}

TEST(ChunkRun, EveryStageGathersOnceAndReducesOnceOnEachRankThatHoldsIt) {
  for (std::size_t kind = 0; kind < kScheduleNames.size(); ++kind) {
    const PipelineSchedule s = schedule(static_cast<ScheduleKind>(kind), 4, 16);
    const ChunkProgram program(s);
    ASSERT_EQ(program.beside().size(), program.distinct().size());
    // Reductions of a second more than the chunk: which actions have one is seen by who ends late.
    std::vector<ChunkProfile> profiles = plain(program, uneven(s.stages));
    std::size_t gathers = 0;
    for (std::size_t i = 0; i < profiles.size(); ++i) {
      if (program.beside()[i].reduces) profiles[i].reduction = {0, profiles[i].compute.end + 1};
      gathers += program.beside()[i].gathers ? 1 : 0;
    }
    EXPECT_GE(gathers, 1u);
    for (const auto& of_rank : program.run(pointers(profiles), 0).last_weights) {
      for (const ChunkProgram::Span& span : of_rank) EXPECT_NEAR(span.reduced, span.end + 1, 1e-9) << kScheduleNames[kind];
    }
  }
}

TEST(ChunkRun, KnowsWhenAStagesGradientsAreComplete) {
  const ChunkProgram program(schedule(ScheduleKind::dualpipe, 4, 8));
  const std::vector<ChunkProfile> profiles = plain(program, uneven(4));
  const ChunkProgram::Run run = program.run(pointers(profiles), 0);
  for (std::size_t r = 0; r < 4; ++r) {
    ASSERT_EQ(program.stages_of_rank()[r].size(), 2u);
    double last = 0;
    for (const ChunkProgram::Span& span : run.last_weights[r]) {
      EXPECT_LT(span.start, span.end);
      last = std::max(last, span.end);
    }
    EXPECT_DOUBLE_EQ(last, run.rank_end[r]);
  }
}

}  // namespace
}  // namespace trillion::chunk_run_test
