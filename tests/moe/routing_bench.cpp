// Speed of routing, on one core. What is asked (issue 6): one layer of DeepSeek-V3 token by token (64 x 4096 tokens, 256 experts, top-8 of
// 4 nodes) below 50 ms, gate and dispatch together; 61 layers x 120 micro-batches x 64 GPUs x 4096 tokens below 2 s; placements of 61
// layers below 1 s. Built by the `dev` preset as moe_bench.
#include <benchmark/benchmark.h>

#include "sim/moe/dispatch.h"
#include "sim/moe/expert_load.h"
#include "sim/moe/gate.h"
#include "sim/moe/placement.h"
#include "sim/moe/routing_tables.h"
#include "tests/moe/support/routed_models.h"

namespace {

using namespace trillion;

Training training(Balance balance) {
  Training result;
  result.sequence_length = 4096;
  result.routing.balance = balance;
  return result;
}

std::vector<TokenChoices> route_layer(const Gate& gate) {
  std::vector<TokenChoices> choices(64);
  for (std::int64_t r = 0; r < 64; ++r) gate.route({r % 16, r * 4096, 4096}, Random(1, 2), choices[static_cast<std::size_t>(r)]);
  return choices;
}

Gate skewed_gate() { return Gate(kV3, draw_affinities(256, {0.6, 1.1, 16}, 1, 0)); }

void one_layer_gate(benchmark::State& state) {
  const Gate gate = skewed_gate();
  for (auto _ : state) benchmark::DoNotOptimize(route_layer(gate).size());
}
BENCHMARK(one_layer_gate)->Unit(benchmark::kMillisecond);

void one_layer_gate_and_dispatch(benchmark::State& state) {
  const Gate gate = skewed_gate();
  const Placement placement = contiguous_placement(256, 64);
  for (auto _ : state) benchmark::DoNotOptimize(dispatch(route_layer(gate), placement, kEp64).tokens);
}
BENCHMARK(one_layer_gate_and_dispatch)->Unit(benchmark::kMillisecond);

// Every layer with a router of its own, every micro-batch with its own mix of sequences: 1.9e9 tokens.
void all_61_layers_120_micro_batches(benchmark::State& state) {
  const Training how = training(state.range(0) == 0 ? Balance::loss_free : Balance::none);
  for (auto _ : state) benchmark::DoNotOptimize(expert_load(deepseek_v3(), {}, how, kEp64, 1, {61, 120}).mean.nodes_per_token);
}
BENCHMARK(all_61_layers_120_micro_batches)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

// What a simulation draws.
void usual_sample(benchmark::State& state) {
  const Training how = training(state.range(0) == 0 ? Balance::loss_free : Balance::forced);
  for (auto _ : state) benchmark::DoNotOptimize(expert_load(deepseek_v3(), {}, how, kEp64, 1).mean.nodes_per_token);
}
BENCHMARK(usual_sample)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

// 0: load-balanced with 64 redundant experts; 1: traffic-minimising.
void place_61_layers(benchmark::State& state) {
  const Gate gate = skewed_gate();
  TokenChoices sample;
  for (std::int64_t d = 0; d < 16; ++d) gate.route({d, d * 256, 256}, Random(1, 2), sample);
  std::vector<double> loads(256, 1.0);
  for (const std::uint16_t e : sample.expert) loads[e] += 1;
  for (auto _ : state)
    for (int layer = 0; layer < 61; ++layer) {
      if (state.range(0) == 0)
        benchmark::DoNotOptimize(balanced_placement(loads, {64, 8, 8, 320}).ranks);
      else
        benchmark::DoNotOptimize(traffic_minimising_placement(sample, 256, kEp64).ranks);
    }
}
BENCHMARK(place_61_layers)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
