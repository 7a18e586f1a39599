// Speed of the gate. Targets on one core: one layer of DeepSeek-V3 exactly (64 x 4096 tokens, 256 experts, top-8 of 4 nodes) below 50 ms,
// expert_load() of the default scenario below 100 ms.
//   g++ -O3 -std=c++20 -I. tests/moe/gate_bench.cpp <libraries of moe> -lbenchmark -lpthread
#include <benchmark/benchmark.h>

#include "sim/moe/dispatch.h"
#include "sim/moe/expert_load.h"
#include "sim/moe/gate.h"
#include "sim/moe/placement.h"

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

void default_scenario(benchmark::State& state) {
  Model model;
  model.moe = MixtureOfExperts{};
  model.moe->n_routed_experts = 256;
  model.moe->num_experts_per_tok = 8;
  model.moe->n_group = 8;
  model.moe->topk_group = 4;
  model.moe->topk_group_scores = 2;
  model.moe->score = GateScore::sigmoid;
  Training training;
  training.sequence_length = 4096;
  training.routing.balance = state.range(0) == 0 ? Balance::forced : Balance::loss_free;
  for (auto _ : state) benchmark::DoNotOptimize(expert_load(model, {}, training, {64, 8, 4096}, 1).mean.nodes_per_token);
}
BENCHMARK(default_scenario)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

void one_layer_dispatch(benchmark::State& state) {
  const Gate gate(kV3, draw_affinities(256, {0.6, 1.1, 16}, 1, 0));
  const ExpertGroup group{64, 8, 4096};
  std::vector<TokenChoices> choices(64);
  for (std::int64_t r = 0; r < 64; ++r) gate.route({r % 16, r * 4096, 4096}, Random(1, 2), choices[static_cast<std::size_t>(r)]);
  const Placement placement = contiguous_placement(256, 64);
  for (auto _ : state) benchmark::DoNotOptimize(dispatch(choices, placement, group).tokens);
}
BENCHMARK(one_layer_dispatch)->Unit(benchmark::kMillisecond);

// Targets: 61 layers in a second.
void place_61_layers(benchmark::State& state) {
  const Gate gate(kV3, draw_affinities(256, {0.6, 1.1, 16}, 1, 0));
  TokenChoices sample;
  for (std::int64_t d = 0; d < 16; ++d) gate.route({d, d * 256, 256}, Random(1, 2), sample);
  std::vector<double> loads(256, 1.0);
  for (const std::uint16_t e : sample.expert) loads[e] += 1;
  for (auto _ : state)
    for (int layer = 0; layer < 61; ++layer) {
      if (state.range(0) == 0)
        benchmark::DoNotOptimize(balanced_placement(loads, {64, 8, 8, 320}).ranks);
      else
        benchmark::DoNotOptimize(traffic_minimising_placement(sample, 256, {64, 8, 4096}).ranks);
    }
}
BENCHMARK(place_61_layers)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

}  // namespace
