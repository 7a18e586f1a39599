// How many tasks per second the engine runs. Items are tasks (or, for flows, flows).
#include <benchmark/benchmark.h>

#include <random>

#include "sim/engine/engine.h"

namespace trillion {
namespace {

// Streams in pairs, as compute and communication of one rank: each task needs the one before it on the other stream.
TaskGraph pipeline(std::uint32_t streams, std::uint32_t tasks_per_stream, bool reserve) {
  TaskGraph graph;
  std::vector<KindId> kinds;
  for (std::uint32_t k = 0; k < 200; ++k) kinds.push_back(graph.add_kind({"kernel " + std::to_string(k), 0, SimTime{1000 + 37 * k}, {}}));
  for (std::uint32_t s = 0; s < streams; ++s) graph.add_stream("stream " + std::to_string(s));
  if (reserve) graph.reserve(std::size_t{streams} * tasks_per_stream, std::size_t{streams} * tasks_per_stream);
  std::vector<TaskId> last(streams);
  for (std::uint32_t i = 0; i < tasks_per_stream; ++i) {
    for (std::uint32_t s = 0; s < streams; ++s) {
      const TaskId other = last[s ^ 1];
      const bool needs = (i + s) % 2 == 0 && other.valid();
      last[s] = graph.add(StreamId{s}, kinds[(i * 7 + s) % kinds.size()], std::span(&other, needs ? 1 : 0));
    }
  }
  return graph;
}

void BM_Run(benchmark::State& state) {
  const auto streams = static_cast<std::uint32_t>(state.range(0));
  const TaskGraph graph = pipeline(streams, static_cast<std::uint32_t>(state.range(1)) / streams, true);
  for (auto _ : state) benchmark::DoNotOptimize(run(graph).makespan);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(graph.task_count()));
}
BENCHMARK(BM_Run)->Args({64, 1 << 20})->Args({200, 1 << 20})->Args({200, 1 << 23})->Args({8192, 1 << 23})->Unit(benchmark::kMillisecond);

void BM_Build(benchmark::State& state) {
  const auto streams = static_cast<std::uint32_t>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(pipeline(streams, (1u << 20) / streams, true).task_count());
  state.SetItemsProcessed(state.iterations() * (1 << 20));
}
BENCHMARK(BM_Build)->Arg(64)->Unit(benchmark::kMillisecond);

// A few kinds again and again, as lowering asks for them.
void BM_InternKind(benchmark::State& state) {
  TaskGraph graph;
  const LinkId nic = graph.add_link("nic", BytesPerSecond{50e9});
  const TaskKind kind{"dispatch forward", 3, SimTime{1234567}, {{nic, Bytes{1e6}}}};
  for (auto _ : state) benchmark::DoNotOptimize(graph.add_kind(kind));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_InternKind);

// Every other task of each rank moves bytes over the rank's own NIC (no contention), or over one that `sharers` ranks share.
void BM_Flows(benchmark::State& state) {
  const auto ranks = static_cast<std::uint32_t>(state.range(0)), sharers = static_cast<std::uint32_t>(state.range(1));
  constexpr std::uint32_t kTasks = 2000;
  TaskGraph graph;
  std::mt19937_64 random(1);
  const KindId compute = graph.add_kind({"gemm", 0, SimTime{50000000}, {}});
  for (std::uint32_t r = 0; r < ranks; ++r) {
    if (r % sharers == 0) graph.add_link("nic", BytesPerSecond{50e9 * sharers / 2});
    graph.add_stream("rank");
  }
  for (std::uint32_t i = 0; i < kTasks; ++i) {
    for (std::uint32_t r = 0; r < ranks; ++r) {
      const Bytes bytes{1e6 * static_cast<double>(1 + random() % 8)};
      const LinkId link{r / sharers};
      graph.add(StreamId{r}, compute, {});
      graph.add(StreamId{r}, graph.add_kind({"send", 0, SimTime::from(bytes / BytesPerSecond{50e9}), {{link, bytes}}}), {});
    }
  }
  for (auto _ : state) benchmark::DoNotOptimize(run(graph).makespan);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(ranks) * kTasks);
}
BENCHMARK(BM_Flows)->Args({64, 1})->Args({64, 4})->Args({64, 64})->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace trillion
