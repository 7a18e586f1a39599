// A drawn dispatch of DeepSeek-V3's experts as 4032 flows of 64 GPUs, each with the bytes that the tokens of that pair take: the
// distribution of sizes that a simulation meets (issue 6: < 5 ms). Others: tests/net/fluid_bench.cpp.
#include <benchmark/benchmark.h>

#include "sim/moe/dispatch.h"
#include "sim/moe/gate.h"
#include "sim/moe/placement.h"
#include "sim/net/fluid.h"
#include "tests/moe/support/routed_models.h"
#include "tests/net/support/deepseek_network.h"

namespace {

using namespace trillion;

void BM_DrawnDispatchAsFlows(benchmark::State& state) {
  const auto seed = static_cast<std::uint64_t>(state.range(0));
  const Gate gate(kV3, draw_affinities(256, {0.6, 1.1, 16}, seed, 0));
  std::vector<TokenChoices> choices(64);
  for (std::int64_t r = 0; r < 64; ++r) gate.route({r % 16, r * 4096, 4096}, Random(seed, 2), choices[static_cast<std::size_t>(r)]);
  const Traffic traffic = dispatch(choices, contiguous_placement(256, 64), kEp64);

  const Fabric fabric = Fabric::build(testing_support::deepseek_network(BytesPerSecond{160e9}));
  const double bytes_per_copy = dispatch_payload(7168, 8, true).total();
  std::vector<Transfer> transfers;
  for (std::int64_t a = 0; a < 64; ++a) {
    for (std::int64_t b = 0; b < 64; ++b) {
      if (a != b) transfers.push_back({a, b, Bytes{traffic.rank_copies.at(a, b) * bytes_per_copy}});
    }
  }
  for (auto _ : state) benchmark::DoNotOptimize(transfer_ends(fabric, transfers).front());
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(transfers.size()));
}
BENCHMARK(BM_DrawnDispatchAsFlows)->ArgName("seed")->DenseRange(1, 3)->Unit(benchmark::kMillisecond);

}  // namespace
