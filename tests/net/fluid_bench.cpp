// All-to-alls on DeepSeek-V3's network, every transfer routed, contended and re-rated to its end.
#include "sim/net/fluid.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>

#include "tests/net/support/deepseek_network.h"

namespace trillion {
namespace {

Fabric deepseek() { return Fabric::build(testing_support::deepseek_network(BytesPerSecond{160e9})); }

// 64 GPUs, 4032 transfers, no two of the same size.
void run_64(benchmark::State& state, const std::function<double(std::int64_t)>& bytes) {
  const Fabric fabric = deepseek();
  std::vector<Transfer> transfers;
  for (std::int64_t a = 0; a < 64; ++a) {
    for (std::int64_t b = 0; b < 64; ++b) {
      if (a != b) transfers.push_back({a, b, Bytes{bytes(a * 64 + b)}});
    }
  }
  for (auto _ : state) benchmark::DoNotOptimize(transfer_ends(fabric, transfers).front());
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(transfers.size()));
}

void BM_AllToAllOfDifferentSizes(benchmark::State& state) {
  run_64(state, [](std::int64_t i) { return 1e6 + static_cast<double>(i * 7919 % 4096) * 100; });
}
BENCHMARK(BM_AllToAllOfDifferentSizes)->Unit(benchmark::kMillisecond);

// From `least` to `most` kB.
void BM_AllToAllOfUniformSizes(benchmark::State& state) {
  std::mt19937_64 random(static_cast<std::uint64_t>(state.range(0)));
  std::uniform_real_distribution<double> bytes(1e3 * static_cast<double>(state.range(1)), 1e3 * static_cast<double>(state.range(2)));
  run_64(state, [&](std::int64_t) { return bytes(random); });
}
BENCHMARK(BM_AllToAllOfUniformSizes)
    ->ArgNames({"seed", "least", "most"})
    ->ArgsProduct({{1, 2, 3}, {1000}, {1400}})
    ->ArgsProduct({{1, 2, 3}, {10}, {1000}})
    ->Unit(benchmark::kMillisecond);

// Logarithms spread by `sigma` hundredths. At 200 the largest transfer is a thousand times the median.
void BM_AllToAllOfLogNormalSizes(benchmark::State& state) {
  std::mt19937_64 random(static_cast<std::uint64_t>(state.range(0)));
  std::lognormal_distribution<double> bytes(std::log(1e6), 0.01 * static_cast<double>(state.range(1)));
  run_64(state, [&](std::int64_t) { return bytes(random); });
}
BENCHMARK(BM_AllToAllOfLogNormalSizes)
    ->ArgNames({"seed", "sigma"})
    ->ArgsProduct({{1, 2, 3}, {50, 100, 200}})
    ->Unit(benchmark::kMillisecond);

// The n-th largest has 1 / n of the largest's bytes.
void BM_AllToAllOfZipfSizes(benchmark::State& state) {
  std::mt19937_64 random(static_cast<std::uint64_t>(state.range(0)));
  std::vector<std::int64_t> rank(64 * 64);
  std::iota(rank.begin(), rank.end(), 1);
  std::shuffle(rank.begin(), rank.end(), random);
  run_64(state, [&](std::int64_t i) { return 1e9 / static_cast<double>(rank[static_cast<std::size_t>(i)]); });
}
BENCHMARK(BM_AllToAllOfZipfSizes)->ArgName("seed")->DenseRange(1, 3)->Unit(benchmark::kMillisecond);

// 1024 GPUs, 1 047 552 transfers of `sizes` sizes, by how many nodes lie between sender and receiver.
void BM_AllToAllOfManyGpus(benchmark::State& state) {
  const Fabric fabric = deepseek();
  std::vector<Transfer> transfers;
  for (std::int64_t a = 0; a < 1024; ++a) {
    for (std::int64_t b = 0; b < 1024; ++b) {
      const std::int64_t nodes = (b / 8 - a / 8 + 128) % 128;
      if (a != b) transfers.push_back({a, b, Bytes{1e6 + 1e4 * static_cast<double>(nodes % state.range(0))}});
    }
  }
  for (auto _ : state) benchmark::DoNotOptimize(transfer_ends(fabric, transfers).front());
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(transfers.size()));
}
BENCHMARK(BM_AllToAllOfManyGpus)->ArgName("sizes")->Arg(1)->Arg(16)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace trillion
