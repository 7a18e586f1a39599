// Planner searches build thousands of schedules. For scale: DeepSeek-V3's, and a large one.
#include <benchmark/benchmark.h>

#include "sim/workload/schedule.h"

namespace trillion {
namespace {

void BM_MakeSchedule(benchmark::State& state) {
  const auto kind = static_cast<ScheduleKind>(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(make_schedule(kind, state.range(1), state.range(2), 1));
  state.SetLabel(std::string(kScheduleNames[static_cast<std::size_t>(state.range(0))]));
}

void BM_ExecutionOrder(benchmark::State& state) {
  const auto kind = static_cast<ScheduleKind>(state.range(0));
  const PipelineSchedule schedule = make_schedule(kind, state.range(1), state.range(2), 1);
  for (auto _ : state) benchmark::DoNotOptimize(execution_order(schedule));
  state.SetLabel(std::string(kScheduleNames[static_cast<std::size_t>(state.range(0))]));
}

void shapes(benchmark::internal::Benchmark* bench) {
  for (const ScheduleKind kind : {ScheduleKind::one_f_one_b, ScheduleKind::zb_v, ScheduleKind::dualpipe}) {
    bench->Args({static_cast<std::int64_t>(kind), 16, 120});
    bench->Args({static_cast<std::int64_t>(kind), 64, 512});
  }
}

BENCHMARK(BM_MakeSchedule)->Apply(shapes)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_ExecutionOrder)->Apply(shapes)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace trillion
