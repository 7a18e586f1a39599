// collective.jsonl: NCCL over every rank that was started (see ranks.h).
//
// Time is the slowest rank's median over batches; every rank takes the same number of batches. With one rank there is nothing to
// measure: the calls run once, as a smoke test, and no row is written. "channels" and "nccl_kernel" of a row are what NCCL
// launched: blocks, which hold an SM each, and the kernel.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <vector>

#include "bench.h"
#include "check.h"
#include "group.h"
#include "session.h"
#include "traffic.h"

namespace {

using namespace probe;

constexpr int kBatches = 11;
constexpr double kBatch_s = 2e-3;
constexpr const char* kKinds[] = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv"};

// From `most` down to 1 KiB.
std::vector<std::int64_t> sizes(std::int64_t most, std::int64_t step) {
  std::vector<std::int64_t> list;
  for (std::int64_t bytes = most; bytes >= 1024; bytes /= step) list.push_back(bytes);
  return list;
}

std::vector<CollectiveShape> points() {
  std::vector<CollectiveShape> out;
  const auto every_kind = [&](std::int64_t most) {
    for (const char* kind : kKinds) {
      for (const std::int64_t bytes : sizes(most, 4)) out.push_back({kind, bytes, 1, 0});
    }
  };
  every_kind(std::int64_t{1} << 30);
  // 4096 tokens of 7168: fp8 forward, bf16 back.
  for (const std::int64_t tokens : {4096, 1024, 8192, 128}) {
    out.push_back({"dispatch", tokens * 7168, 1, 0});
    out.push_back({"combine", tokens * 14336, 1, 0});
  }
  for (const double imbalance : {2.0, 4.0}) {
    for (const std::int64_t bytes : sizes(std::int64_t{1} << 28, 16)) out.push_back({"all_to_all", bytes, imbalance, 0});
  }
  for (const int ctas : {1, 2, 4, 8, 16, 24, 32}) {
    for (const char* kind : {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv", "dispatch"}) {
      for (const std::int64_t bytes : {std::int64_t{1} << 28, std::int64_t{1} << 24}) {
        out.push_back({kind, bytes, 1, ctas});
      }
    }
  }
  every_kind(std::int64_t{1} << 29);
  for (const char* kind : kKinds) {
    for (const int shift : {31, 32}) out.push_back({kind, std::int64_t{1} << shift, 1, 0});
  }
  // Off the powers of two: what gradients and activations come as.
  for (const char* kind : kKinds) {
    for (const std::int64_t bytes : {3, 12, 48, 192, 768}) out.push_back({kind, bytes << 20, 1, 0});
  }
  return out;
}

std::size_t most_bytes(const Ranks& ranks) {
  std::size_t most = 0;
  for (const auto& shape : points()) most = std::max(most, scratch_bytes(shape, ranks));
  return most;
}

Row measure(Group& group, const Nvml& nvml, const CollectiveShape& shape) {
  const double estimate = group.prepare(shape);
  const int per_batch = std::clamp(static_cast<int>(kBatch_s / estimate), 1, 50);
  cudaEvent_t events[kBatches + 1];
  for (auto& event : events) PROBE_CUDA(cudaEventCreate(&event));
  group.most(0);
  PROBE_CUDA(cudaEventRecord(events[0], group.stream()));
  for (int batch = 0; batch < kBatches; ++batch) {
    for (int i = 0; i < per_batch; ++i) group.run(shape);
    PROBE_CUDA(cudaEventRecord(events[batch + 1], group.stream()));
  }
  group.wait();
  const Reading reading = nvml.read();
  std::vector<double> samples;
  for (int batch = 0; batch < kBatches; ++batch) {
    float ms = 0;
    PROBE_CUDA(cudaEventElapsedTime(&ms, events[batch], events[batch + 1]));
    samples.push_back(ms * 1e-3 / per_batch);
  }
  for (auto& event : events) PROBE_CUDA(cudaEventDestroy(event));
  const Order order = order_statistics(samples);
  Timing timing;
  timing.median_s = group.most(order.median), timing.min_s = group.most(order.min), timing.p90_s = group.most(order.p90);
  timing.samples = kBatches;
  timing.clock_mhz = reading.clock_mhz, timing.power_w = reading.power_w;
  timing.temperature_c = reading.temperature_c;
  const Launched launched = group.launched(shape);
  return timing.row().number("channels", launched.blocks).text("nccl_kernel", launched.kernel);
}

void measure_all(const Options& options, const Ranks& ranks) {
  Group group(options, ranks, job_name(), most_bytes(ranks));
  if (ranks.world == 1) {
    for (auto shape : points()) {
      shape.bytes = std::min<std::int64_t>(shape.bytes, 1 << 20);
      if (shape.max_ctas == 0) group.run(shape);
    }
    group.wait();
    std::cerr << "collective: one rank only: the calls run, nothing is measured and no file is written\n";
    return;
  }
  std::unique_ptr<Session> session;
  if (ranks.rank == 0) session = std::make_unique<Session>(options, "collective");
  const Nvml nvml(bus_id());
  for (const auto& shape : points()) {
    group.point(session.get(), shape.row(ranks), [&] { return measure(group, nvml, shape); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  return probe::run_ranks(argc, argv, "collective", [](const Options& options, const Ranks& ranks) {
    if (!options.list) return measure_all(options, ranks);
    for (const auto& shape : points()) std::cout << '{' << shape.row(ranks).members() << "}\n";
  });
}
