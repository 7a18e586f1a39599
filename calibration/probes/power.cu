// power.jsonl: what the chip draws at the clock that it holds, while a kernel keeps it busy for a part of the time.
//
// A kernel alone under the power limit says one thing: at this clock it draws the limit. Here each launch is followed by a gap, so
// that the mean draw of both meets the limit, and the clock settles higher the longer the gaps are:
//
//   limit = busy P(f) + (1 - busy) P_gap(f)        until f is the highest clock; then `power_w` itself falls
//
// which gives P over f for one kernel, with no clock locked and no limit changed. Launch and gap alternate within milliseconds,
// well below the controller's time. Rows:
//
//   {"op":"power","victim":{shape keys},"gap":"idle"|"copy","duty":0.7,
//    "time_s":...,"busy":...,"clock_mhz":...,"power_w":...,"temperature_c":...}
//
// duty: the share of the time asked for, 0: gaps alone; busy: the share that came out; time_s: one launch. clock_mhz is counted over the
// last half of the load, power_w is NVML's (a mean over a second) at its end. Gap "idle" is one spinning thread, "copy" a copy through
// memory, so that those rows are steps in small: products and memory-bound kernels in turn.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "bench.h"
#include "check.h"
#include "lt_gemm.h"
#include "memory_kernels.h"
#include "sdpa.h"
#include "session.h"

namespace {

using namespace probe;

constexpr double kLoad_s = 2.4;
constexpr int kTimed = 64;  // launches between events, at the end of the load
constexpr double kGapAlone_s = 1e-3;

__global__ void spin(long long nanoseconds) {
  long long start, now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - start < nanoseconds);
}

struct Train {
  Launch kernel;
  double kernel_s = 0;
  std::function<void(double seconds)> gap;
};

double one_launch_s(Bench& bench, const Launch& kernel) {
  const auto clock = [&](int launches) {
    const double start = host_clock_s();
    for (int i = 0; i < launches; ++i) kernel(bench.stream(), i);
    PROBE_CUDA(cudaStreamSynchronize(bench.stream()));
    return (host_clock_s() - start) / launches;
  };
  clock(3);
  return clock(20);
}

// Loads the chip for kLoad_s and samples its end.
Row measure(Bench& bench, const Train& train, double duty) {
  const auto cycle = [&](int i) {
    if (duty > 0) train.kernel(bench.stream(), i);
    if (duty < 1) train.gap(duty > 0 ? train.kernel_s * (1 - duty) / duty : kGapAlone_s);
  };
  const double cycle_s = duty > 0 ? train.kernel_s / duty : kGapAlone_s;
  const int chunk = std::clamp(static_cast<int>(10e-3 / cycle_s), 1, 500);
  cudaEvent_t done[2];
  for (auto& event : done) PROBE_CUDA(cudaEventCreate(&event));
  const double start = host_clock_s();
  bool stamped = false;
  for (int turn = 0, i = 0; host_clock_s() - start < kLoad_s; ++turn) {
    if (turn >= 2) PROBE_CUDA(cudaEventSynchronize(done[turn % 2]));
    if (!stamped && host_clock_s() - start > kLoad_s / 2) stamped = true, bench.stamp(0);
    for (int c = 0; c < chunk; ++c) cycle(i++);
    PROBE_CUDA(cudaEventRecord(done[turn % 2], bench.stream()));
  }
  for (auto& event : done) PROBE_CUDA(cudaEventDestroy(event));

  std::vector<cudaEvent_t> events(2 * kTimed + 1);
  for (auto& event : events) PROBE_CUDA(cudaEventCreate(&event));
  for (int i = 0; i < kTimed; ++i) {
    PROBE_CUDA(cudaEventRecord(events[2 * i], bench.stream()));
    if (duty > 0) train.kernel(bench.stream(), i);
    PROBE_CUDA(cudaEventRecord(events[2 * i + 1], bench.stream()));
    if (duty < 1) train.gap(cycle_s * (1 - duty));
  }
  PROBE_CUDA(cudaEventRecord(events[2 * kTimed], bench.stream()));
  bench.stamp(1);
  const Reading reading = bench.nvml().read();
  PROBE_CUDA(cudaStreamSynchronize(bench.stream()));
  std::vector<double> samples;
  double busy_s = 0;
  float ms = 0;
  for (int i = 0; i < kTimed; ++i) {
    PROBE_CUDA(cudaEventElapsedTime(&ms, events[2 * i], events[2 * i + 1]));
    samples.push_back(ms * 1e-3);
    busy_s += ms * 1e-3;
  }
  PROBE_CUDA(cudaEventElapsedTime(&ms, events.front(), events.back()));
  for (auto& event : events) PROBE_CUDA(cudaEventDestroy(event));
  Timing timing;
  const Order order = order_statistics(samples);
  timing.median_s = order.median, timing.min_s = order.min, timing.p90_s = order.p90, timing.samples = kTimed;
  timing.clock_mhz = bench.clock_between_stamps_mhz();
  timing.power_w = reading.power_w, timing.temperature_c = reading.temperature_c;
  return timing.row().number("busy", duty > 0 ? busy_s / (ms * 1e-3) : 0.0);
}

struct Victim {
  Row shape;
  std::function<Launch()> make;
};

std::vector<Victim> victims(const std::shared_ptr<GemmMemory>& memory) {
  std::vector<Victim> out;
  for (const auto& [dtype, m, n, k] :
       {std::tuple{"bf16", 8192, 8192, 8192}, {"fp8", 8192, 8192, 8192}, {"bf16", 8192, 7168, 2048}, {"fp8_block", 8192, 7168, 2048}}) {
    const GemmShape shape{dtype, m, n, k};
    out.push_back({shape.row("sustained"), [=]() -> Launch {
                     auto gemm = std::make_shared<LtGemm>(shape, *memory);
                     return [gemm, memory](cudaStream_t s, int i) { gemm->launch(s, i); };
                   }});
  }
  for (const bool backward : {false, true}) {
    AttentionShape shape;
    shape.heads = 32, shape.kv_heads = 8, shape.queries = shape.keys = 8192, shape.backward = backward;
    out.push_back({shape.row("sustained", "cudnn-backend"), [=]() -> Launch {
                     auto sdpa = std::make_shared<Sdpa>(shape, 2);
                     return [sdpa](cudaStream_t s, int i) { sdpa->launch(s, i); };
                   }});
  }
  return out;
}

void copy_once(double seconds, const GemmMemory& memory, int sm_count, cudaStream_t stream, int index) {
  const auto rows = std::max<std::int64_t>(64, static_cast<std::int64_t>(seconds * 3e12 / (4 * 8192)));
  const MemoryShape shape{"copy", rows, 8192};
  launch_memory_kernel(shape, {memory.a.at(shape.read_bytes(), index), memory.c.at(shape.written_bytes(), index), nullptr, nullptr},
                       sm_count, stream);
}

// Copies of at most 0.2 ms that take about `seconds` together, at 3 TB/s of reads and writes.
void copy_for(double seconds, const GemmMemory& memory, int sm_count, cudaStream_t stream, int& index) {
  constexpr double kOne_s = 0.2e-3;
  for (; seconds > kOne_s; seconds -= kOne_s) copy_once(kOne_s, memory, sm_count, stream, index++);
  copy_once(seconds, memory, sm_count, stream, index++);
}

void body(Session& session) {
  std::unique_ptr<Bench> bench;
  std::shared_ptr<GemmMemory> memory;
  if (!session.listing()) {
    bench = std::make_unique<Bench>();
    memory = std::make_shared<GemmMemory>(std::size_t{2} << 30, true);
  }
  const auto point = [&](const Victim& victim, const char* gap, double duty) {
    Row shape;
    shape.text("op", "power").object("victim", victim.shape).text("gap", gap).number("duty", duty);
    session.point(shape, [&] {
      Train train{victim.make()};
      train.kernel_s = one_launch_s(*bench, train.kernel);
      int turn = 0;
      const bool idle = std::string(gap) == "idle";
      train.gap = [&, idle](double seconds) {
        if (idle) {
          spin<<<1, 1, 0, bench->stream()>>>(static_cast<long long>(seconds * 1e9));
          PROBE_CUDA(cudaGetLastError());
        } else {
          copy_for(seconds, *memory, bench->sm_count(), bench->stream(), turn);
        }
      };
      return measure(*bench, train, duty);
    });
  };
  const auto list = victims(memory);
  for (const char* gap : {"idle", "copy"}) point(list.front(), gap, 0);
  for (const double duty : {1.0, 0.7, 0.5, 0.85, 0.6, 0.4, 0.25}) {
    for (const Victim& victim : list) point(victim, "idle", duty);
    for (std::size_t v = 0; v < 4; ++v) {
      if (duty < 1 && duty > 0.3) point(list[v], "copy", duty);
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return probe::run_probe(argc, argv, "power", body); }
