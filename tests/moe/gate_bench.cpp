// Speed of the gate. Targets on one core: one layer of DeepSeek-V3 exactly (64 x 4096 tokens, 256 experts, top-8 of 4 nodes) below 50 ms,
// expert_load() of the default scenario below 100 ms.
//   g++ -O3 -std=c++20 -I. tests/moe/gate_bench.cpp <libraries of moe> -lbenchmark -lpthread
#include <benchmark/benchmark.h>

#include "sim/moe/expert_load.h"
#include "sim/moe/gate.h"

namespace {

using namespace trillion;

const GateShape kV3{256, 8, 8, 4, 2, GateScore::sigmoid};

void one_layer_exactly(benchmark::State& state) {
  const Gate gate(kV3, draw_affinities(256, {0.6, static_cast<double>(state.range(0)) / 100.0, 16}, 1, 0));
  for (auto _ : state) {
    TokenChoices choices;
    choices.expert.reserve(64 * 4096 * 8);
    for (std::int64_t sequence = 0; sequence < 64; ++sequence) gate.route({sequence % 16, sequence * 4096, 4096}, Random(1, 2), choices);
    benchmark::DoNotOptimize(choices.expert.data());
  }
}
BENCHMARK(one_layer_exactly)->Arg(0)->Arg(50)->Arg(110)->Unit(benchmark::kMillisecond);

void prepare_bias(benchmark::State& state) {
  Gate gate(kV3, draw_affinities(256, {0.6, 1.1, 16}, 1, 0));
  std::vector<double> bias(256, 0.0);
  for (auto _ : state) gate.set_bias(bias);
}
BENCHMARK(prepare_bias)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
