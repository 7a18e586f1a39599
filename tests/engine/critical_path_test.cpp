// The algebra of a critical path: it begins at 0, ends at the makespan, and each step ends where the next one starts; and each
// step's reason is true.
#include "sim/engine/critical_path.h"

#include <gtest/gtest.h>

#include "tests/engine/support/random_graph.h"
#include "tests/engine/support/text_graph.h"

namespace trillion::critical_path_test {
namespace {

std::string path_text(const std::string& graph_text) {
  const test::TextGraph text = test::read_graph(graph_text);
  std::string out;
  for (const CriticalStep& step : critical_path(text.graph, run(text.graph))) {
    if (!out.empty()) out += " ";
    if (step.reason == StartReason::stream) out += "then ";
    if (step.reason == StartReason::dependency) out += "needed by ";
    if (step.reason == StartReason::rendezvous) out += "held " + text.graph.kind_of(step.last_member).label + " of ";
    if (step.reason == StartReason::device) out += "behind it ";
    out += text.graph.kind_of(step.task).label;
    if (step.shared > SimTime{0}) out += "+" + std::to_string(step.shared.picoseconds());
  }
  return out;
}

TEST(CriticalPath, FollowsStreamsAndDependencies) {
  EXPECT_EQ(path_text("compute: a(3) b(2)<x c(1)   comm: x(4)<a y(1)"), "a needed by x needed by b then c");
}

TEST(CriticalPath, PrefersTheBusyStreamOnATie) { EXPECT_EQ(path_text("s: a(3) b(2)<x   t: x(3)"), "a then b"); }

TEST(CriticalPath, NamesTheLastMemberOfARendezvous) { EXPECT_EQ(path_text("s: m(5)@r z(1)   t: w(7) n(2)@r"), "w held n of m then z"); }

TEST(CriticalPath, SaysWhatSharingALinkCost) { EXPECT_EQ(path_text("link nic=2  s: a(4)[nic:8] z(1)  t: b(4)[nic:8]"), "a+4 then z"); }

TEST(CriticalPath, GoesOnWithTheKernelThatHeldATransferUp) {
  EXPECT_EQ(path_text("s%g: a(5){kernel:1}  t: w(2)  u%g: x(2){transfer:1}<w y(1)"), "a behind it x then y");
}

TEST(CriticalPath, IsEmptyForAnEmptyGraph) { EXPECT_EQ(path_text(""), ""); }

TEST(CriticalPath, CoversTheMakespanOnRandomGraphs) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    std::mt19937_64 random(seed);
    const test::Draw draw = test::build(test::random_recipe(random, {8, 60, seed % 3 == 0 ? 0u : 5u, 20, true, seed % 2 == 0 ? 0u : 2u}));
    const Trace trace = run(draw.graph);
    const std::vector<CriticalStep> path = critical_path(draw.graph, trace);
    SimTime reached;
    for (const CriticalStep& step : path) {
      ASSERT_EQ(step.start, reached) << "seed " << seed;
      ASSERT_EQ(step.reason == StartReason::none, &step == path.data()) << "seed " << seed;
      reached = step.end;
    }
    ASSERT_EQ(reached, trace.makespan) << "seed " << seed;
  }
}

}  // namespace
}  // namespace trillion::critical_path_test
