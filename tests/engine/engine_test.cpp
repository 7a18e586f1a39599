// The algebra of a run without links:
//   start = max(end of the stream's previous task, ends of the dependencies), 0 when there are none
//   end   = start + duration
//   the members of a rendezvous start together at the latest of their starts, and end together after the longest of them
//   makespan = the last end
#include "sim/engine/engine.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/engine/support/random_graph.h"
#include "tests/engine/support/text_graph.h"

namespace trillion::engine_test {
namespace {

using test::Draw;
using test::random_graph;
using test::read_graph;
using test::run_text;

TEST(Engine, AnEmptyGraphTakesNoTime) {
  const Trace trace = run(TaskGraph{});
  EXPECT_EQ(trace.makespan, SimTime{0});
  EXPECT_TRUE(trace.start.empty());
}

TEST(Engine, AStreamRunsItsTasksInOrder) { EXPECT_EQ(run_text("s: a(3) b(2) c(0) d(4)"), "s: a 0-3 b 3-5 c 5-5 d 5-9\n"); }

TEST(Engine, StreamsRunSideBySide) { EXPECT_EQ(run_text("s: a(3) b(2)  t: c(4)"), "s: a 0-3 b 3-5\nt: c 0-4\n"); }

TEST(Engine, ATaskWaitsForItsDependencies) {
  EXPECT_EQ(run_text("compute: a(3) b(2)<a,x   comm: x(4)<a"), "compute: a 0-3 b 7-9\ncomm: x 3-7\n");
}

TEST(Engine, ABlockedHeadHoldsWhatIsBehindIt) {
  EXPECT_EQ(run_text("s: a(1)<z b(1)  t: y(5) z(5)"), "s: a 10-11 b 11-12\nt: y 0-5 z 5-10\n");
}

TEST(Engine, ManyStreamsWaitForOneTask) {
  EXPECT_EQ(run_text("s: a(7) b(1)  t: c(1)<a  u: d(2)<a  v: e(3)<b  w: f(1)<a,b"),
            "s: a 0-7 b 7-8\nt: c 7-8\nu: d 7-9\nv: e 8-11\nw: f 8-9\n");
}

TEST(Engine, ARendezvousStartsWithTheLastAndEndsWithTheLongest) {
  EXPECT_EQ(run_text("s: a(3) x(2)@r b(1)  t: y(5)@r c(1)  u: d(1) z(0)@r"), "s: a 0-3 x 3-8 b 8-9\nt: y 3-8 c 8-9\nu: d 0-1 z 3-8\n");
}

TEST(Engine, ARendezvousMemberHasItsOwnDependencies) {
  EXPECT_EQ(run_text("s: x(2)@r<c  t: y(2)@r  u: c(9)"), "s: x 9-11\nt: y 9-11\nu: c 0-9\n");
}

TEST(Engine, ARendezvousOfOneIsATask) { EXPECT_EQ(run_text("s: x(2)@r y(1)@q"), "s: x 0-2 y 2-3\n"); }

TEST(Engine, TheMakespanIsTheLastEnd) {
  const auto text = read_graph("s: a(3) b(2)  t: c(40)  u: d(1)<b");
  EXPECT_EQ(run(text.graph).makespan, SimTime{40});
}

// --- against a model: relax the two equations until nothing changes ---

Trace relax(const Draw& draw) {
  const TaskGraph& graph = draw.graph;
  Trace trace;
  trace.start.assign(graph.task_count(), SimTime{0});
  trace.end.assign(graph.task_count(), SimTime{0});
  std::vector<SimTime> duration(graph.task_count());
  for (std::uint32_t t = 0; t < graph.task_count(); ++t) duration[t] = graph.kind_of(TaskId{t}).duration;
  for (const auto& members : draw.members) {
    SimTime longest;
    for (const TaskId m : members) longest = std::max(longest, duration[m.value]);
    for (const TaskId m : members) duration[m.value] = longest;
  }
  for (bool changed = true; changed;) {
    changed = false;
    const auto raise = [&](TaskId task, SimTime start) {
      if (start > trace.start[task.value]) trace.start[task.value] = start, changed = true;
    };
    for (std::uint32_t t = 0; t < graph.task_count(); ++t) {
      for (const TaskId d : graph.dependencies(TaskId{t})) raise(TaskId{t}, trace.end[d.value]);
      const SimTime end = trace.start[t] + duration[t];
      if (end > trace.end[t]) trace.end[t] = end, changed = true;
      if (const TaskId next = graph.next_in_stream(TaskId{t}); next.valid()) raise(next, trace.end[t]);
    }
    for (const auto& members : draw.members) {
      SimTime latest;
      for (const TaskId m : members) latest = std::max(latest, trace.start[m.value]);
      for (const TaskId m : members) raise(m, latest);
    }
  }
  return trace;
}

TEST(Engine, EqualsTheRelaxedEquationsOnRandomGraphs) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    std::mt19937_64 random(seed);
    const Draw draw = random_graph(random);
    const Trace expected = relax(draw), trace = run(draw.graph);
    ASSERT_EQ(trace.start, expected.start) << "seed " << seed;
    ASSERT_EQ(trace.end, expected.end) << "seed " << seed;
    ASSERT_EQ(trace.makespan, trace.end.empty() ? SimTime{} : *std::max_element(trace.end.begin(), trace.end.end())) << "seed " << seed;
  }
}

// Larger than the window of tasks that the engine works on at a time: one pass in the order of adding is the model.
TEST(Engine, EqualsOnePassOnALargeGraph) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    std::mt19937_64 random(seed);
    test::Recipe recipe = test::random_recipe(random, {8, 60000, 0, 20, true});
    if (seed % 2 == 1) {  // one stream far ahead of the others in the order of adding
      for (std::size_t t = 0; t < recipe.tasks.size() / 2; ++t)
        recipe.tasks[t].stream = 0, recipe.tasks[t].rendezvous = RendezvousId::kNone;
    }
    std::vector<SimTime> free_at(recipe.streams), start(recipe.tasks.size()), end(recipe.tasks.size());
    for (std::size_t t = 0; t < recipe.tasks.size();) {
      std::size_t next = t + 1;
      const std::uint32_t group = recipe.tasks[t].rendezvous;
      while (group != RendezvousId::kNone && next < recipe.tasks.size() && recipe.tasks[next].rendezvous == group) ++next;
      SimTime latest, longest;
      for (std::size_t m = t; m < next; ++m) {
        latest = std::max(latest, free_at[recipe.tasks[m].stream]);
        for (const TaskId d : recipe.tasks[m].dependencies) latest = std::max(latest, end[d.value]);
        longest = std::max(longest, recipe.tasks[m].kind.duration);
      }
      for (; t < next; ++t) {
        start[t] = latest;
        end[t] = free_at[recipe.tasks[t].stream] = latest + longest;
      }
    }
    const Trace trace = run(test::build(recipe).graph);
    ASSERT_TRUE(trace.start == start) << "seed " << seed;
    ASSERT_TRUE(trace.end == end) << "seed " << seed;
  }
}

}  // namespace
}  // namespace trillion::engine_test
