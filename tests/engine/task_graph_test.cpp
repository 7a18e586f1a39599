// The algebra of a TaskGraph: what was added is what is read, row by row; equal kinds are one kind; edges point backwards.
#include "sim/engine/task_graph.h"

#include <gtest/gtest.h>

#include <vector>

namespace trillion::task_graph_test {
namespace {

TEST(TaskGraph, ReturnsWhatWasAdded) {
  TaskGraph graph;
  const StreamId compute = graph.add_stream("compute"), copy = graph.add_stream("copy");
  const LinkId nic = graph.add_link("nic", BytesPerSecond{50e9});
  const KindId gemm = graph.add_kind({"gemm", 7, SimTime{30}, {}});
  const KindId send = graph.add_kind({"send", 8, SimTime{20}, {{nic, Bytes{1000}}}});
  const RendezvousId meeting = graph.add_rendezvous();

  const TaskId a = graph.add(compute, gemm, {});
  const TaskId b = graph.add(copy, send, std::vector{a}, meeting);
  const TaskId c = graph.add(compute, gemm, std::vector{a, b}, meeting);
  const TaskId d = graph.add(compute, send, std::vector{c, a});

  EXPECT_EQ(graph.task_count(), 4u);
  EXPECT_EQ(graph.stream_of(b), copy);
  EXPECT_EQ(graph.stream_of(d), compute);
  EXPECT_EQ(graph.kind_of(c).label, "gemm");
  EXPECT_EQ(graph.kind_of(b).tag, 8);
  EXPECT_EQ(graph.link_name(graph.kind_of(b).links.at(0).link), "nic");
  EXPECT_EQ(graph.link_capacity(nic), BytesPerSecond{50e9});
  const auto list = [&](TaskId task) { return std::vector<TaskId>(graph.dependencies(task).begin(), graph.dependencies(task).end()); };
  EXPECT_EQ(list(a), std::vector<TaskId>{});
  EXPECT_EQ(list(b), std::vector<TaskId>{a});
  EXPECT_EQ(list(c), (std::vector<TaskId>{a, b}));
  EXPECT_EQ(list(d), (std::vector<TaskId>{c, a}));
  EXPECT_FALSE(graph.rendezvous_of(a).valid());
  EXPECT_EQ(graph.rendezvous_of(b), meeting);
  EXPECT_EQ(graph.rendezvous_of(c), meeting);
  EXPECT_FALSE(graph.rendezvous_of(d).valid());
  EXPECT_EQ(graph.member_count(meeting), 2u);
}

TEST(TaskGraph, KeepsStreamOrder) {
  TaskGraph graph;
  const StreamId even = graph.add_stream("even"), odd = graph.add_stream("odd"), none = graph.add_stream("none");
  const KindId kind = graph.add_kind({"k", 0, SimTime{1}, {}});
  for (std::uint32_t i = 0; i < 6; ++i) graph.add(i % 2 == 0 ? even : odd, kind, {});
  const auto ids = [&](StreamId stream) {
    std::vector<std::uint32_t> out;
    for (const TaskId task : graph.tasks_of(stream)) out.push_back(task.value);
    return out;
  };
  EXPECT_EQ(ids(even), (std::vector<std::uint32_t>{0, 2, 4}));
  EXPECT_EQ(ids(odd), (std::vector<std::uint32_t>{1, 3, 5}));
  EXPECT_EQ(graph.tasks_of(even).size(), 3u);
  EXPECT_TRUE(graph.tasks_of(none).empty());
  EXPECT_EQ(ids(none), std::vector<std::uint32_t>{});
}

TEST(TaskGraph, InternsKindsByTheirWholeContent) {
  TaskGraph graph;
  const LinkId nic = graph.add_link("nic", BytesPerSecond{1});
  const TaskKind base{"gemm", 1, SimTime{5}, {{nic, Bytes{3}}}};
  const KindId id = graph.add_kind(base);
  EXPECT_EQ(graph.add_kind(base), id);
  TaskKind label = base, tag = base, duration = base, bytes = base, links = base;
  label.label = "gemm2";
  tag.tag = 2;
  duration.duration = SimTime{6};
  bytes.links[0].bytes = Bytes{4};
  links.links.clear();
  for (const TaskKind& other : {label, tag, duration, bytes, links}) EXPECT_NE(graph.add_kind(other), id) << other.label;
  EXPECT_EQ(graph.kind_count(), 6u);
  EXPECT_EQ(graph.add_kind(base), id);
}

TEST(TaskGraph, RefusesWhatCannotBe) {
  TaskGraph graph;
  const StreamId stream = graph.add_stream("s");
  const KindId kind = graph.add_kind({"k", 0, SimTime{1}, {}});
  EXPECT_THROW(graph.add(stream, kind, std::vector{TaskId{0}}), InternalError) << "on itself";
  EXPECT_THROW(graph.add(StreamId{1}, kind, {}), InternalError);
  EXPECT_THROW(graph.add(stream, KindId{1}, {}), InternalError);
  EXPECT_THROW(graph.add(stream, kind, {}, RendezvousId{0}), InternalError);
  EXPECT_THROW(graph.add_kind({"k", 0, SimTime{-1}, {}}), InternalError);
  EXPECT_THROW(graph.add_kind({"k", 0, SimTime{1}, {{LinkId{0}, Bytes{1}}}}), InternalError);
  EXPECT_THROW(graph.add_link("dead", BytesPerSecond{0}), InternalError);
  const LinkId nic = graph.add_link("nic", BytesPerSecond{1});
  EXPECT_THROW(graph.add_kind({"k", 0, SimTime{1}, {{nic, Bytes{-1}}}}), InternalError);
}

}  // namespace
}  // namespace trillion::task_graph_test
