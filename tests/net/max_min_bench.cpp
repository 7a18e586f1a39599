// How long one solution of rates takes, and how long fabrics and routes take.
#include <benchmark/benchmark.h>

#include <limits>
#include <random>

#include "sim/net/fabric.h"
#include "sim/net/max_min.h"

#include "tests/net/support/deepseek_network.h"

namespace trillion {
namespace {

MaxMinProblem problem(std::uint32_t flows, std::uint32_t links, bool equal) {
  std::mt19937_64 random(7);
  MaxMinProblem out;
  for (std::uint32_t l = 0; l < links; ++l) out.add_link(equal ? 50e9 : 1e9 * static_cast<double>(10 + random() % 90));
  for (std::uint32_t f = 0; f < flows; ++f) {
    const auto first = static_cast<std::uint32_t>(f % links), second = static_cast<std::uint32_t>((f / links + f + 1) % links);
    std::vector<MaxMinUse> uses{{first, Share::of(1)}};
    if (second != first) uses.push_back({second, Share::of(equal ? 1 : 0.5)});
    out.add_flow(equal || f % 3 != 0 ? 1e12 : 1e9 * static_cast<double>(1 + random() % 20), uses);
  }
  return out;
}

void BM_Solve(benchmark::State& state) {
  const MaxMinProblem input =
      problem(static_cast<std::uint32_t>(state.range(0)), static_cast<std::uint32_t>(state.range(1)), state.range(2) != 0);
  MaxMinSolver solver;
  for (auto _ : state) benchmark::DoNotOptimize(solver.solve(input).front());
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Solve)
    ->ArgNames({"flows", "links", "equal"})
    ->Args({2, 1, 1})
    ->Args({16, 8, 1})
    ->Args({16, 8, 0})
    ->Args({1024, 512, 1})
    ->Args({1024, 512, 0})
    ->Args({16384, 4096, 0});

Cluster deepseek() { return testing_support::deepseek_network(BytesPerSecond{400e9}); }

void BM_BuildFabric(benchmark::State& state) {
  const Cluster cluster = deepseek();
  for (auto _ : state) benchmark::DoNotOptimize(Fabric::build(cluster).link_count());
}
BENCHMARK(BM_BuildFabric);

void BM_Route(benchmark::State& state) {
  const Fabric fabric = Fabric::build(deepseek());
  std::uint64_t i = 0;
  for (auto _ : state) {
    ++i;
    benchmark::DoNotOptimize(fabric.route(static_cast<std::int64_t>(i % 2048), static_cast<std::int64_t>(i * 37 % 2048), i));
  }
}
BENCHMARK(BM_Route);

}  // namespace
}  // namespace trillion
