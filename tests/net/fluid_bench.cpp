// All-to-alls on DeepSeek-V3's network, every transfer routed, contended and re-rated to its end.
#include "sim/net/fluid.h"

#include <benchmark/benchmark.h>

namespace trillion {
namespace {

Fabric deepseek() {
  Cluster c;
  c.nodes = 256;
  c.gpus_per_node = 8;
  c.scale_up = {8, BytesPerSecond{160e9}, Seconds{3e-6}, {}};
  c.scale_out.nics_per_node = 8;
  c.scale_out.nic_bandwidth = BytesPerSecond{50e9};
  return Fabric::build(c);
}

// 64 GPUs, 4032 transfers, no two of the same size.
void BM_AllToAllOfDifferentSizes(benchmark::State& state) {
  const Fabric fabric = deepseek();
  std::vector<Transfer> transfers;
  for (std::int64_t a = 0; a < 64; ++a) {
    for (std::int64_t b = 0; b < 64; ++b) {
      if (a != b) transfers.push_back({a, b, Bytes{1e6 + static_cast<double>((a * 64 + b) * 7919 % 4096) * 100}});
    }
  }
  for (auto _ : state) benchmark::DoNotOptimize(transfer_ends(fabric, transfers).front());
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(transfers.size()));
}
BENCHMARK(BM_AllToAllOfDifferentSizes)->Unit(benchmark::kMillisecond);

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
