// The algebra of flows, seen through the engine (times in ps, bytes per ps):
//   alone     a task takes max(duration, bytes / capacity over its links), exactly
//   shared    n equal flows on one link take n times as long where the link is what limits them
//   capped    what a flow at its cap leaves, the others get
//   joint     a rendezvous is one flow over the links of all members
//   local     what happens on links that are not connected changes nothing, bit for bit
//   foldable  n copies of a graph on links n times as fast behave as one, bit for bit
#include "sim/engine/flow_set.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "tests/engine/support/random_graph.h"
#include "tests/engine/support/text_graph.h"

namespace trillion::flow_set_test {
namespace {

using test::build;
using test::Draw;
using test::DrawLimits;
using test::DrawnTask;
using test::random_recipe;
using test::read_graph;
using test::Recipe;
using test::run_text;

TEST(Flows, AloneATaskTakesItsDurationOrItsLinksTime) {
  EXPECT_EQ(run_text("link nic=2  s: a(10)[nic:16] b(4)[nic:16] c(0)[nic:3] d(5)[nic:0]"), "s: a 0-10 b 10-18 c 18-20 d 20-25\n");
}

TEST(Flows, TheSlowestOfItsLinksLimitsATask) { EXPECT_EQ(run_text("link nic=2 link nvl=8  s: a(1)[nic:20,nvl:40]"), "s: a 0-10\n"); }

TEST(Flows, TwoEqualFlowsShareALink) { EXPECT_EQ(run_text("link nic=2  s: a(4)[nic:8]  t: b(4)[nic:8]"), "s: a 0-8\nt: b 0-8\n"); }

TEST(Flows, ALateOneTakesHalfOfWhatIsLeft) {
  // a has done 4 of its 8 bytes when b comes; both move 1 byte per ps until a ends at 6, then b has the link for its last 4.
  EXPECT_EQ(run_text("link nic=2  s: a(4)[nic:8]  t: w(2) b(4)[nic:8]"), "s: a 0-6\nt: w 0-2 b 2-8\n");
}

TEST(Flows, WhatACappedFlowLeavesTheOtherGets) {
  // a moves 1/2 byte per ps, b 3/2: 12 bytes in 8 ps.
  EXPECT_EQ(run_text("link nic=2  s: a(16)[nic:8]  t: b(1)[nic:12]"), "s: a 0-16\nt: b 0-8\n");
}

TEST(Flows, DurationsThatFitTogetherDoNotDisturb) {
  EXPECT_EQ(run_text("link nic=2  s: a(8)[nic:8]  t: b(8)[nic:8]"), "s: a 0-8\nt: b 0-8\n");
}

TEST(Flows, ARendezvousIsOneFlowOverAllLinksOfItsMembers) {
  // x and y together put 8 bytes on a and 4 on b: 4 ps alone. z holds half of b, where x and y need 1 byte per ps and z's other
  // byte per ps is its fair share: nobody is slowed down.
  EXPECT_EQ(run_text("link a=2 link b=2  s: x(1)@r[a:8]  t: y(1)@r[b:4]  u: z(4)[b:4]"), "s: x 0-4\nt: y 0-4\nu: z 0-4\n");
  EXPECT_EQ(run_text("link a=2  s: x(1)@r[a:4]  t: w(3) y(7)@r[a:20] v(1)"), "s: x 3-15\nt: w 0-3 y 3-15 v 15-16\n");
}

TEST(Flows, AllEventsOfAnInstantCountBeforeRatesAreSolved) {
  // a ends and b starts at 4, c never sees a change.
  const auto text = read_graph("link nic=2  s: a(4)[nic:4] b(4)[nic:4]  t: c(8)[nic:8]");
  const Trace trace = run(text.graph);
  EXPECT_EQ(test::timeline(text.graph, trace), "s: a 0-4 b 4-8\nt: c 0-8\n");
  EXPECT_EQ(trace.events, 3u + 6u) << "three tasks, each with one start and one end of its flow";
}

TEST(Flows, DependentsOfAFlowStartAtItsEnd) {
  EXPECT_EQ(run_text("link nic=1  s: a(1)[nic:6] b(1)  t: c(2)<a  u: d(1)[nic:6]<e e2(1)  v: e(1)"),
            "s: a 0-11 b 11-12\nt: c 11-13\nu: d 1-12 e2 12-13\nv: e 0-1\n");
}

TEST(Flows, LinkBytesAreWhatTheTasksCarried) {
  const auto text = read_graph("link nic=2 link nvl=4  s: a(4)[nic:8,nvl:1] b(4)[nic:8]  t: c(4)[nic:8]");
  const Trace trace = run(text.graph);
  EXPECT_EQ(trace.link_bytes, (std::vector<Bytes>{Bytes{24}, Bytes{1}}));
}

TEST(Devices, AKernelIsSlowBesideATransferAndOnlyThen) {
  // 4 of k's 8 are done at half pace until x ends at 4; two of them.
  EXPECT_EQ(run_text("s%g: k(8){kernel:0.5}  t%g: x(4){transfer:1}"), "s: k 0-10\nt: x 0-4\n");
  EXPECT_EQ(run_text("s%g: k(8){kernel:0.5}  t%h: x(4){transfer:1}"), "s: k 0-8\nt: x 0-4\n") << "another device";
  EXPECT_EQ(run_text("s%g: k(8){kernel:0.5}  t%g: l(4){kernel:0.5}"), "s: k 0-8\nt: l 0-4\n") << "of one side";
  EXPECT_EQ(run_text("s%g: k(8){kernel:0.5}  t%g: x(4)"), "s: k 0-8\nt: x 0-4\n") << "of no side";
}

TEST(Devices, ATransferIsSlowBesideKernels) {
  EXPECT_EQ(run_text("s%g: a(3){kernel:1} b(3){kernel:1} c(4)  t%g: x(8){transfer:0.5}"), "s: a 0-3 b 3-6 c 6-10\nt: x 0-11\n");
}

TEST(Devices, BothAreSlowWhileBothRun) {
  // Until 8 both run at half pace; x has then done its 4, k 4 of 6.
  EXPECT_EQ(run_text("s%g: k(6){kernel:0.5}  t%g: x(4){transfer:0.5}"), "s: k 0-10\nt: x 0-8\n");
}

TEST(Devices, ATransferOnLinksIsSlowedBelowItsCapOnly) {
  // Alone 4 ps for 8 bytes; beside k at half pace 1 byte per ps, which leaves y its own pace on the link.
  EXPECT_EQ(run_text("link nic=2  s%g: k(8){kernel:1}  t%g: x(4){transfer:0.5}[nic:8]  u: y(8)[nic:8]"), "s: k 0-8\nt: x 0-8\nu: y 0-8\n");
}

TEST(Devices, ATransferWaitsForTheKernelThatIsAtWorkWhenItComesAndForNoOther) {
  EXPECT_EQ(run_text("s%g: a(5){kernel:0.5} b(6){kernel:0.5}  t: w(2)  u%g: x(2){transfer:1}<w"), "s: a 0-5 b 5-12\nt: w 0-2\nu: x 5-7\n");
  EXPECT_EQ(run_text("s%g: a(5){kernel:0.5} b(6){kernel:0.5}  t: w(5)  u%g: x(2){transfer:1}<w"), "s: a 0-5 b 5-12\nt: w 0-5\nu: x 5-7\n")
      << "at one instant transfers come first";
  EXPECT_EQ(run_text("s%g: a(5){kernel:0.5}  t: w(2)  u%g: x(2){transfer:1}<w"), "s: a 0-5\nt: w 0-2\nu: x 5-7\n");
}

TEST(Devices, ARendezvousWaitsForTheKernelsOfAllItsMembersAndIsAsSlowAsTheSlowest) {
  EXPECT_EQ(run_text("s%g: a(5){kernel:1}  t%g: w(2) x(4){transfer:0.5}@r  u%h: b(3){kernel:1} c(9){kernel:1}  v%h: y(4){transfer:0.5}@r"),
            "s: a 0-5\nt: w 0-2 x 5-13\nu: b 0-3 c 3-12\nv: y 5-13\n")
      << "beside c until 12, then at full pace: 3.5 + 0.5, rounded up";
}

TEST(Devices, WhoWaitedForWhomIsInTheTrace) {
  const auto text = read_graph("s%g: a(5){kernel:0.5}  t: w(2)  u%g: x(2){transfer:1}<w");
  const Trace trace = run(text.graph);
  ASSERT_EQ(trace.held_up.size(), 1u);
  EXPECT_EQ(trace.held_up[0].transfer, text.tasks.at("x"));
  EXPECT_EQ(trace.held_up[0].kernel, text.tasks.at("a"));
}

TEST(Flows, UncontendedTasksTakeTheirDurationToThePicosecond) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    std::mt19937_64 random(seed);
    TaskGraph graph;
    const double capacity = 1e9 * (1 + static_cast<double>(random() % 1000000) * 1e-3);
    for (std::uint32_t s = 0; s < 4; ++s) {
      const StreamId stream = graph.add_stream("s");
      const LinkId link = graph.add_link("l", BytesPerSecond{capacity});
      for (std::uint32_t i = 0; i < 10; ++i) {
        const Bytes bytes{static_cast<double>(random() % 100000000)};
        const SimTime least = SimTime::from(bytes / BytesPerSecond{capacity});
        const SimTime duration = least + SimTime{i % 2 == 0 ? 0 : static_cast<std::int64_t>(random() % 1000000000000)};
        graph.add(stream, graph.add_kind({"k", 0, duration, {{link, bytes}}}), {});
      }
    }
    const Trace trace = run(graph);
    for (std::uint32_t t = 0; t < graph.task_count(); ++t) {
      ASSERT_EQ(trace.end[t] - trace.start[t], graph.kind_of(TaskId{t}).duration) << "seed " << seed << " task " << t;
    }
  }
}

TEST(Flows, ADurationWithMoreBitsThanADoubleIsExact) {
  TaskGraph graph;
  const LinkId link = graph.add_link("l", BytesPerSecond{1e9});
  const SimTime duration{(std::int64_t{1} << 60) + 1};  // 13 days
  graph.add(graph.add_stream("s"), graph.add_kind({"k", 0, duration, {{link, Bytes{1}}}}), {});
  EXPECT_EQ(run(graph).makespan, duration);
}

// Others come and go on its link, which never binds: its rate does not change, so neither does its end.
TEST(Flows, AFlowAtItsCapIsExactWhateverItsNeighboursDo) {
  TaskGraph graph;
  const LinkId link = graph.add_link("l", BytesPerSecond{1e9});
  const SimTime duration{(std::int64_t{1} << 60) + 1};
  const StreamId other = graph.add_stream("other");
  const KindId brief = graph.add_kind({"brief", 0, SimTime{1234567891}, {{link, Bytes{1}}}});
  for (int i = 0; i < 100; ++i) graph.add(other, brief, {});
  const TaskId task = graph.add(graph.add_stream("s"), graph.add_kind({"k", 0, duration, {{link, Bytes{1000}}}}), {});
  EXPECT_EQ(run(graph).end[task.value], duration);
}

// --- laws on random graphs ---

constexpr DrawLimits kContended{8, 60, 5, 20, true};
constexpr DrawLimits kOdd{8, 60, 5, 1000000, false};
constexpr DrawLimits kContendedDevices{8, 60, 5, 20, true, 3};
constexpr DrawLimits kOddDevices{8, 60, 5, 1000000, false, 3};

template <class Body>
void for_random_recipes(std::uint64_t count, Body body) {
  for (std::uint64_t seed = 0; seed < count; ++seed) {
    std::mt19937_64 random(seed);
    const Recipe recipe = random_recipe(random, std::array{kContended, kOdd, kContendedDevices, kOddDevices}[seed % 4]);
    SCOPED_TRACE("seed " + std::to_string(seed));
    body(recipe, random);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(FlowLaws, SameGraphSameBytes) {
  for_random_recipes(300, [](const Recipe& recipe, auto&) {
    const Trace a = run(build(recipe).graph), b = run(build(recipe).graph);
    ASSERT_EQ(a.start, b.start);
    ASSERT_EQ(a.end, b.end);
    ASSERT_EQ(a.link_bytes, b.link_bytes);
    ASSERT_EQ(a.events, b.events);
  });
}

TEST(FlowLaws, TheNumberingOfStreamsAndLinksDoesNotMatter) {
  for_random_recipes(1000, [](const Recipe& recipe, std::mt19937_64& random) {
    Recipe renamed = recipe;
    std::vector<std::uint32_t> stream_at(recipe.streams), link_at(recipe.links.size());
    for (std::uint32_t s = 0; s < stream_at.size(); ++s) stream_at[s] = s;
    for (std::uint32_t l = 0; l < link_at.size(); ++l) link_at[l] = l;
    std::shuffle(stream_at.begin(), stream_at.end(), random);
    std::shuffle(link_at.begin(), link_at.end(), random);
    for (std::size_t l = 0; l < link_at.size(); ++l) renamed.links[link_at[l]] = recipe.links[l];
    for (std::size_t s = 0; s < recipe.device_of.size(); ++s) renamed.device_of[stream_at[s]] = recipe.device_of[s];
    for (DrawnTask& task : renamed.tasks) {
      task.stream = stream_at[task.stream];
      for (LinkUse& use : task.kind.links) use.link = LinkId{link_at[use.link.value]};
    }
    const Trace a = run(build(recipe).graph), b = run(build(renamed).graph);
    ASSERT_EQ(a.start, b.start);
    ASSERT_EQ(a.end, b.end);
  });
}

// Both recipes side by side in one graph; of two copies, the second may share the links of the first.
Recipe side_by_side(const Recipe& a, const Recipe& b, bool shared_links) {
  Recipe both = a;
  if (!shared_links) both.links.insert(both.links.end(), b.links.begin(), b.links.end());
  // Devices are never shared. A recipe without any gets one that nothing uses.
  both.device_of.resize(a.streams, 0);
  for (std::uint32_t s = 0; s < b.streams; ++s) both.device_of.push_back(8 + (b.device_of.empty() ? 0 : b.device_of[s]));
  both.streams += b.streams;
  both.rendezvous += b.rendezvous;
  for (DrawnTask task : b.tasks) {
    task.stream += a.streams;
    if (task.rendezvous != RendezvousId::kNone) task.rendezvous += a.rendezvous;
    for (TaskId& dependency : task.dependencies) dependency.value += static_cast<std::uint32_t>(a.tasks.size());
    if (!shared_links) {
      for (LinkUse& use : task.kind.links) use.link.value += static_cast<std::uint32_t>(a.links.size());
    }
    both.tasks.push_back(task);
  }
  return both;
}

TEST(FlowLaws, WhatIsNotConnectedChangesNothing) {
  for_random_recipes(1000, [](const Recipe& a, std::mt19937_64& random) {
    const Recipe b = random_recipe(random, kOdd);
    const Trace alone_a = run(build(a).graph), alone_b = run(build(b).graph), both = run(build(side_by_side(a, b, false)).graph);
    for (std::size_t t = 0; t < a.tasks.size(); ++t) ASSERT_EQ(both.end[t], alone_a.end[t]) << "task " << t;
    for (std::size_t t = 0; t < b.tasks.size(); ++t) ASSERT_EQ(both.end[a.tasks.size() + t], alone_b.end[t]) << "task " << t;
  });
}

// What makes folding exact. Durations hold what the slower link allows, as closed forms do: a lone copy must not profit from
// the faster one.
TEST(FlowLaws, CopiesOnFasterLinksBehaveAsOne) {
  for_random_recipes(1000, [](Recipe one, auto&) {
    std::vector<std::vector<double>> group_bytes(one.rendezvous, std::vector<double>(one.links.size(), 0));
    for (DrawnTask& task : one.tasks) {
      std::vector<double> alone(one.links.size(), 0);
      std::vector<double>& bytes = task.rendezvous == RendezvousId::kNone ? alone : group_bytes[task.rendezvous];
      for (const LinkUse& use : task.kind.links) bytes[use.link.value] += use.bytes.value();
      for (std::size_t l = 0; l < bytes.size(); ++l) {
        const SimTime least = SimTime::from(Seconds{bytes[l] / one.links[l]}) + SimTime{1};
        task.kind.duration = std::max(task.kind.duration, least);
      }
    }
    Recipe two = side_by_side(one, one, true);
    for (double& capacity : two.links) capacity *= 2;
    const Trace folded = run(build(one).graph), full = run(build(two).graph);
    for (std::size_t t = 0; t < one.tasks.size(); ++t) {
      ASSERT_EQ(full.end[t], folded.end[t]) << "task " << t;
      ASSERT_EQ(full.end[one.tasks.size() + t], folded.end[t]) << "task " << t;
    }
  });
}

TEST(FlowLaws, NoLinkCarriesMoreThanItCan) {
  for_random_recipes(500, [](const Recipe& recipe, auto&) {
    const Trace trace = run(build(recipe).graph);
    std::vector<double> bytes(recipe.links.size(), 0);
    for (const DrawnTask& task : recipe.tasks) {
      for (const LinkUse& use : task.kind.links) bytes[use.link.value] += use.bytes.value();
    }
    for (std::size_t l = 0; l < bytes.size(); ++l) {
      ASSERT_NEAR(trace.link_bytes[l].value(), bytes[l], 1e-9 * bytes[l]);
      ASSERT_LE(bytes[l], recipe.links[l] * trace.makespan.seconds().value() * (1 + 1e-9));
    }
  });
}

// --- against a naive engine: doubles, every rate solved anew, flow by flow, at every event ---

class NaiveEngine {
 public:
  explicit NaiveEngine(const Recipe& recipe) : recipe_(recipe), done_(recipe.tasks.size(), 0), end(recipe.tasks.size(), 0) {}

  void run() {
    while (start_what_can() || !active_.empty()) step();
  }

 private:
  struct Active {
    std::vector<std::size_t> tasks;
    std::vector<double> bytes;  // per link
    double duration = 0, left = 1, rate = 0;
  };
  const Recipe& recipe_;
  std::vector<char> done_;  // 1: running, 2: ended
  std::vector<Active> active_;
  double now_ = 0;

 public:
  std::vector<double> end;

 private:
  bool ready(std::size_t t) const {
    if (done_[t] != 0) return false;
    for (std::size_t before = 0; before < t; ++before) {
      if (recipe_.tasks[before].stream == recipe_.tasks[t].stream && done_[before] != 2) return false;
    }
    for (const TaskId d : recipe_.tasks[t].dependencies) {
      if (done_[d.value] != 2) return false;
    }
    return true;
  }

  bool start_what_can() {
    bool any = false;
    for (std::size_t t = 0; t < done_.size(); ++t) {
      std::vector<std::size_t> group{t};
      if (const std::uint32_t r = recipe_.tasks[t].rendezvous; r != RendezvousId::kNone) {
        group.clear();
        for (std::size_t m = 0; m < done_.size(); ++m) {
          if (recipe_.tasks[m].rendezvous == r) group.push_back(m);
        }
      }
      if (!std::all_of(group.begin(), group.end(), [&](std::size_t m) { return ready(m); })) continue;
      Active flow{group, std::vector<double>(recipe_.links.size(), 0)};
      for (const std::size_t m : group) {
        done_[m] = 1;
        flow.duration = std::max(flow.duration, recipe_.tasks[m].kind.duration.seconds().value());
        for (const LinkUse& use : recipe_.tasks[m].kind.links) flow.bytes[use.link.value] += use.bytes.value();
      }
      active_.push_back(flow);
      any = true;
    }
    return any;
  }

  // Rates are in "whole tasks per second"; fairness is in bytes of the largest use.
  void solve() {
    std::vector<double> left = recipe_.links;
    std::vector<bool> stopped(active_.size(), false);
    const auto total = [&](const Active& a) { return *std::max_element(a.bytes.begin(), a.bytes.end()); };
    for (std::size_t i = 0; i < active_.size(); ++i) {
      if (recipe_.links.empty() || total(active_[i]) == 0) active_[i].rate = 1 / active_[i].duration, stopped[i] = true;
    }
    for (;;) {
      double level = std::numeric_limits<double>::infinity();
      std::size_t least = active_.size();
      for (std::size_t i = 0; i < active_.size(); ++i) {
        if (stopped[i]) continue;
        double own = total(active_[i]) / active_[i].duration;
        for (std::size_t l = 0; l < left.size(); ++l) {
          double weight = 0;
          for (std::size_t j = 0; j < active_.size(); ++j) weight += stopped[j] ? 0 : active_[j].bytes[l] / total(active_[j]);
          if (active_[i].bytes[l] > 0) own = std::min(own, left[l] / weight);
        }
        if (own < level) level = own, least = i;
      }
      if (least == active_.size()) return;
      stopped[least] = true;
      active_[least].rate = level / total(active_[least]);
      for (std::size_t l = 0; l < left.size(); ++l) left[l] -= active_[least].rate * active_[least].bytes[l];
    }
  }

  void step() {
    solve();
    double next = std::numeric_limits<double>::infinity();
    for (const Active& a : active_) next = std::min(next, a.left / a.rate);
    now_ += next;
    std::vector<Active> still;
    for (Active& a : active_) {
      const bool ends = a.left / a.rate <= next * (1 + 1e-12) || a.duration == 0;
      a.left -= next * a.rate;
      for (const std::size_t m : a.tasks) {
        if (ends) done_[m] = 2, end[m] = now_;
      }
      if (!ends) still.push_back(a);
    }
    active_ = still;
  }
};

TEST(FlowLaws, EqualsANaiveEngine) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    std::mt19937_64 random(seed);
    Recipe recipe = random_recipe(random, {6, 30, 4, 1000000000, false});
    for (DrawnTask& task : recipe.tasks) task.kind.duration += SimTime{1};  // the naive engine divides by it
    const Trace trace = run(build(recipe).graph);
    NaiveEngine naive(recipe);
    naive.run();
    for (std::size_t t = 0; t < recipe.tasks.size(); ++t) {
      ASSERT_NEAR(static_cast<double>(trace.end[t].picoseconds()), naive.end[t] * 1e12, 1000) << "seed " << seed << " task " << t;
    }
  }
}

}  // namespace
}  // namespace trillion::flow_set_test
