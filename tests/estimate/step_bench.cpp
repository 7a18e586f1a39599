// What a simulated step costs as it grows: GPUs (folded and every one), layers, micro-batches. DeepSeek-V3's shipped scenario, scaled.
//
//   cmake --preset dev && cmake --build build/dev --target estimate_bench && build/dev/tests/estimate_bench
//
// Counters: tasks of the engine, kernels and communications that they stand for, both per second of wall time.
#include <benchmark/benchmark.h>

#include <string>

#include "sim/estimate/estimate.h"
#include "sim/spec/load.h"

namespace trillion {
namespace {

Scenario deepseek() { return load_scenario(std::string(TRILLION_SOURCE_DIR) + "/scenarios/deepseek-v3"); }

// The same sequences per GPU whatever the size of the cluster.
Scenario on_gpus(std::int64_t gpus) {
  Scenario s = deepseek();
  s.cluster.nodes = gpus / s.cluster.gpus_per_node;
  s.cluster.scale_out.layers = 3;
  s.training.global_batch_size = gpus * 15 / 2;
  return s;
}

void simulate(benchmark::State& state, const Scenario& s) {
  StepResult step;
  for (auto _ : state) {
    const StepOutcome outcome = simulate_step(s);
    if (const auto* why = std::get_if<Infeasible>(&outcome)) return state.SkipWithError(why->reason.c_str());
    step = std::get<StepResult>(outcome);
  }
  const double runs = static_cast<double>(state.iterations());
  state.counters["tasks"] = static_cast<double>(step.tasks);
  state.counters["kernels"] = static_cast<double>(step.kernels);
  state.counters["tasks/s"] = benchmark::Counter(static_cast<double>(step.tasks) * runs, benchmark::Counter::kIsRate);
  state.counters["kernels/s"] = benchmark::Counter(static_cast<double>(step.kernels) * runs, benchmark::Counter::kIsRate);
}

void folded_gpus(benchmark::State& state) { simulate(state, on_gpus(state.range(0))); }
BENCHMARK(folded_gpus)->RangeMultiplier(2)->Range(1024, 16384)->Unit(benchmark::kMillisecond);

void every_gpu(benchmark::State& state) {
  Scenario s = on_gpus(state.range(0));
  s.fidelity = Fidelity::full;
  simulate(state, s);
}
BENCHMARK(every_gpu)->RangeMultiplier(2)->Range(1024, 4096)->Unit(benchmark::kMillisecond)->Iterations(1);

void one_slow_gpu(benchmark::State& state) {
  Scenario s = on_gpus(state.range(0));
  s.perturbations.slow_gpus = {{300, 1.2}};
  simulate(state, s);
}
BENCHMARK(one_slow_gpu)->Arg(2048)->Arg(16384)->Unit(benchmark::kMillisecond);

// Beyond the real model's 61 the memory check is satisfied by larger GPUs: only the time of the simulation is looked at.
void layers(benchmark::State& state) {
  Scenario s = deepseek();
  s.model.num_hidden_layers = state.range(0);
  s.cluster.gpu.memory = s.cluster.gpu.usable_memory = Bytes{1e15};
  simulate(state, s);
}
BENCHMARK(layers)->Arg(31)->Arg(61)->Arg(122)->Arg(244)->Unit(benchmark::kMillisecond);

void micro_batches(benchmark::State& state) {
  Scenario s = deepseek();
  s.training.global_batch_size = 128 * state.range(0);
  simulate(state, s);
}
BENCHMARK(micro_batches)->Arg(60)->Arg(120)->Arg(240)->Arg(480)->Arg(960)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace trillion
