// The algebra of interval sets, per instant t: t in either(a, b) iff t in a or t in b; both: and; without: t in a and not in b.
#include "sim/engine/trace_statistics.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "tests/engine/support/text_graph.h"

namespace trillion::trace_statistics_test {
namespace {

Intervals set(std::initializer_list<std::pair<int, int>> pairs) {
  Intervals out;
  for (const auto& [start, end] : pairs) out.push_back({SimTime{start}, SimTime{end}});
  return out;
}

TEST(TraceStatistics, MergesWhatTouches) {
  EXPECT_EQ(merged(set({{5, 7}, {0, 2}, {2, 3}, {6, 9}, {4, 4}})), set({{0, 3}, {5, 9}}));
  EXPECT_EQ(total(set({{0, 3}, {5, 9}})), SimTime{7});
}

TEST(TraceStatistics, ExposedTimeIsCommunicationWithoutComputation) {
  const auto text = test::read_graph("compute: a(3) b(2)<x c(4)   comm: x(4)<a y(1)<b");
  const Trace trace = run(text.graph);
  const std::array compute{text.streams.at("compute")}, comm{text.streams.at("comm")};
  EXPECT_EQ(busy(text.graph, trace, compute), set({{0, 3}, {7, 13}}));
  EXPECT_EQ(busy(text.graph, trace, comm), set({{3, 7}, {9, 10}}));
  EXPECT_EQ(without(busy(text.graph, trace, comm), busy(text.graph, trace, compute)), set({{3, 7}}));
  EXPECT_EQ(both(busy(text.graph, trace, comm), busy(text.graph, trace, compute)), set({{9, 10}}));
  EXPECT_EQ(busy_time(text.graph, trace, compute[0]), SimTime{9});
  EXPECT_EQ(busy(text.graph, trace, compute, [](const TaskKind& kind) { return kind.label != "b"; }), set({{0, 3}, {9, 13}}));
  EXPECT_EQ(time_per_kind(text.graph, trace)[text.graph.kind_id_of(text.tasks.at("c")).value], SimTime{4});
}

TEST(TraceStatistics, SetOperationsHoldAtEveryInstant) {
  constexpr int kEnd = 40;
  const auto contains = [](const Intervals& intervals, int t) {
    return std::any_of(intervals.begin(), intervals.end(), [&](const Interval& i) { return i.start <= SimTime{t} && SimTime{t} < i.end; });
  };
  const auto well_formed = [](const Intervals& intervals) {
    for (std::size_t i = 0; i < intervals.size(); ++i) {
      if (intervals[i].start >= intervals[i].end || (i > 0 && intervals[i - 1].end >= intervals[i].start)) return false;
    }
    return true;
  };
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    std::mt19937_64 random(seed);
    const auto draw = [&] {
      Intervals out;
      for (std::uint64_t n = random() % 8; n > 0; --n) {
        const auto start = static_cast<int>(random() % kEnd);
        out.push_back({SimTime{start}, SimTime{start + static_cast<int>(random() % 8)}});
      }
      return merged(out);
    };
    const Intervals a = draw(), b = draw();
    const Intervals union_set = either(a, b), common = both(a, b), rest = without(a, b);
    ASSERT_TRUE(well_formed(a) && well_formed(union_set) && well_formed(common) && well_formed(rest)) << "seed " << seed;
    for (int t = 0; t < kEnd + 10; ++t) {
      ASSERT_EQ(contains(union_set, t), contains(a, t) || contains(b, t)) << "seed " << seed << " instant " << t;
      ASSERT_EQ(contains(common, t), contains(a, t) && contains(b, t)) << "seed " << seed << " instant " << t;
      ASSERT_EQ(contains(rest, t), contains(a, t) && !contains(b, t)) << "seed " << seed << " instant " << t;
    }
  }
}

}  // namespace
}  // namespace trillion::trace_statistics_test
