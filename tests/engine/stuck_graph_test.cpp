// A graph gets stuck only where members of rendezvous wait for each other; the message names the head of every blocked stream and
// what it waits for.
#include "sim/engine/stuck_graph.h"

#include <gtest/gtest.h>

#include "tests/engine/support/text_graph.h"

namespace trillion::stuck_graph_test {
namespace {

std::string stuck_text(const std::string& text) {
  const auto graph = test::read_graph(text);
  try {
    run(graph.graph);
  } catch (const StuckGraph& stuck) {
    return stuck.what();
  }
  return "finished";
}

TEST(StuckGraph, NamesBothSidesOfACrossedRendezvous) {
  EXPECT_EQ(stuck_text("s: a(1) m(1)@p n(1)@q   t: o(1)@q w(1)@p   u: z(1)"),
            "the graph is stuck after 2 of 6 tasks; 2 streams are blocked:\n"
            "  stream \"s\": \"m\" (task 1) waits at rendezvous 0 for \"w\" (task 4), which is behind \"o\" (task 3) on stream \"t\"\n"
            "  stream \"t\": \"o\" (task 3) waits at rendezvous 1 for \"n\" (task 2), which is behind \"m\" (task 1) on stream \"s\"");
}

TEST(StuckGraph, NamesTheDependencyThatABlockedHeadWaitsFor) {
  EXPECT_EQ(stuck_text("s: m(1)@p n(1)@p   t: d(1)<m"),
            "the graph is stuck after 0 of 3 tasks; 2 streams are blocked:\n"
            "  stream \"s\": \"m\" (task 0) waits at rendezvous 0 for \"n\" (task 1), which is behind \"m\" (task 0) on stream \"s\"\n"
            "  stream \"t\": \"d\" (task 2) waits for \"m\" (task 0) on stream \"s\"");
}

TEST(StuckGraph, NamesAMemberThatIsItselfBlocked) {
  EXPECT_EQ(stuck_text("s: m(1)@p a(1)   t: n(1)<o@p   u: k(1)@q o(1)  v: l(1)<a@q"),
            "the graph is stuck after 0 of 6 tasks; 4 streams are blocked:\n"
            "  stream \"s\": \"m\" (task 0) waits at rendezvous 0 for \"n\" (task 5) on stream \"t\"\n"
            "  stream \"t\": \"n\" (task 5) waits for \"o\" (task 3) on stream \"u\"\n"
            "  stream \"u\": \"k\" (task 2) waits at rendezvous 1 for \"l\" (task 4) on stream \"v\"\n"
            "  stream \"v\": \"l\" (task 4) waits for \"a\" (task 1) on stream \"s\"");
}

TEST(StuckGraph, ShowsTheFirstStreamsOfMany) {
  std::string text = "s: m(1)@p n(1)@p";
  for (int i = 0; i < 40; ++i) text += "  t" + std::to_string(i) + ": d" + std::to_string(i) + "(1)<m";
  const std::string message = stuck_text(text);
  EXPECT_NE(message.find("41 streams are blocked:"), std::string::npos) << message;
  EXPECT_NE(message.find("stream \"t30\""), std::string::npos) << message;
  EXPECT_EQ(message.find("stream \"t31\""), std::string::npos) << message;
  EXPECT_NE(message.find("... and 9 more"), std::string::npos) << message;
}

}  // namespace
}  // namespace trillion::stuck_graph_test
