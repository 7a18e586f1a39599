// host.jsonl: what the CPU costs the GPU, and copies between the two.
//
//   {"op":"launch","kind":...}
//     issue        host time of one kernel launch, queue not full         gap        device time from kernel to kernel, empty kernels
//     round_trip   launch an empty kernel and wait for it                 graph_gap  the same inside a CUDA graph
//     event        record and wait for an event
//   {"op":"host_copy","direction":"host_to_device|device_to_host","bytes":...}      pinned memory
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include "arena.h"
#include "bench.h"
#include "check.h"
#include "session.h"

namespace {

using namespace probe;

__global__ void empty() {}

// Repeats `once` (which returns seconds) and reports the order statistics, with the chip's state read at the end.
Row repeated(Bench& bench, int repeats, const std::function<double()>& once) {
  std::vector<double> samples;
  once();
  for (int i = 0; i < repeats; ++i) samples.push_back(once());
  const Order order = order_statistics(samples);
  const Reading reading = bench.nvml().read();
  Timing timing;
  timing.median_s = order.median, timing.min_s = order.min, timing.p90_s = order.p90;
  timing.samples = repeats;
  timing.clock_mhz = reading.clock_mhz, timing.power_w = reading.power_w, timing.temperature_c = reading.temperature_c;
  return timing.row();
}

double issue_s(Bench& bench) {
  constexpr int kLaunches = 400;  // below the depth of the launch queue, so that the host never waits
  PROBE_CUDA(cudaStreamSynchronize(bench.stream()));
  const double start = host_clock_s();
  for (int i = 0; i < kLaunches; ++i) empty<<<1, 32, 0, bench.stream()>>>();
  const double spent = host_clock_s() - start;
  PROBE_CUDA(cudaStreamSynchronize(bench.stream()));
  return spent / kLaunches;
}

double round_trip_s(Bench& bench) {
  const double start = host_clock_s();
  empty<<<1, 32, 0, bench.stream()>>>();
  PROBE_CUDA(cudaStreamSynchronize(bench.stream()));
  return host_clock_s() - start;
}

double event_s(Bench& bench, cudaEvent_t event) {
  const double start = host_clock_s();
  PROBE_CUDA(cudaEventRecord(event, bench.stream()));
  PROBE_CUDA(cudaEventSynchronize(event));
  return host_clock_s() - start;
}

Row launch_point(Bench& bench, const std::string& kind) {
  const auto launch = [&](cudaStream_t stream, int) { empty<<<bench.sm_count(), 128, 0, stream>>>(); };
  BenchOptions options;
  options.rotations = 256;
  if (kind == "issue") return repeated(bench, 50, [&] { return issue_s(bench); });
  if (kind == "round_trip") return repeated(bench, 500, [&] { return round_trip_s(bench); });
  if (kind == "graph_gap") return bench.measure(launch, options).row();
  if (kind == "gap") {
    options.graph = false;
    return bench.measure(launch, options).row();
  }
  cudaEvent_t event = nullptr;
  PROBE_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  const Row row = repeated(bench, 500, [&] { return event_s(bench, event); });
  PROBE_CUDA(cudaEventDestroy(event));
  return row;
}

Row copy_point(Bench& bench, const Arena& device, char* pinned, bool to_device, std::size_t bytes) {
  BenchOptions options;
  options.graph = false;
  options.spend_s = 0.2;
  const auto launch = [&](cudaStream_t stream, int index) {
    char* on_device = device.at(bytes, index);
    if (to_device) {
      PROBE_CUDA(cudaMemcpyAsync(on_device, pinned, bytes, cudaMemcpyHostToDevice, stream));
    } else {
      PROBE_CUDA(cudaMemcpyAsync(pinned, on_device, bytes, cudaMemcpyDeviceToHost, stream));
    }
  };
  return bench.measure(launch, options).row();
}

void body(Session& session) {
  constexpr std::size_t kMost = std::size_t{1} << 28;
  std::unique_ptr<Bench> bench;
  std::unique_ptr<Arena> device;
  char* pinned = nullptr;
  if (!session.listing()) {
    bench = std::make_unique<Bench>();
    device = std::make_unique<Arena>(2 * kMost, Fill::kNormalBf16);
    PROBE_CUDA(cudaMallocHost(&pinned, kMost));
    std::fill(pinned, pinned + kMost, char{1});
  }
  for (const char* kind : {"gap", "graph_gap", "issue", "round_trip", "event"}) {
    Row shape;
    shape.text("op", "launch").text("kind", kind);
    session.point(shape, [&] { return launch_point(*bench, kind); });
  }
  for (std::size_t bytes = kMost; bytes >= 4096; bytes /= 4) {
    for (const bool to_device : {true, false}) {
      Row shape;
      shape.text("op", "host_copy").text("direction", to_device ? "host_to_device" : "device_to_host");
      shape.number("bytes", static_cast<std::int64_t>(bytes));
      session.point(shape, [&] { return copy_point(*bench, *device, pinned, to_device, bytes); });
    }
  }
  if (pinned) PROBE_CUDA(cudaFreeHost(pinned));
}

}  // namespace

int main(int argc, char** argv) { return probe::run_probe(argc, argv, "host", body); }
