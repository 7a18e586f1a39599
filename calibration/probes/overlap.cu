// overlap.jsonl: a kernel and a collective at the same time, and what they cost each other.
//
// Training hides collectives behind kernels: both then have fewer SMs, less memory bandwidth and less power. Each row is one pair, kept
// running on two streams of every rank for some tenths of a second:
//
//   {"op":"interference","victim":{shape keys},"beside":{shape keys},"time_s":...,"alone_s":...,
//    "beside_time_s":...,"beside_alone_s":...,"channels":16}
//
// time_s and alone_s: one launch of the kernel beside the collective and alone; beside_time_s and beside_alone_s: one call of the
// collective beside the kernel and alone; each the slowest rank's median, only over batches that lie wholly inside the time
// when both streams were busy. Alone and together the chip is warm alike: it ran the kernel for kHeat_s before. `channels`: blocks
// of the collective's kernel, which hold an SM each.
#include <algorithm>
#include <functional>
#include <iostream>
#include <memory>
#include <tuple>
#include <vector>

#include "bench.h"
#include "check.h"
#include "group.h"
#include "lt_gemm.h"
#include "memory_kernels.h"
#include "sdpa.h"
#include "session.h"

namespace {

using namespace probe;

constexpr double kHeat_s = 0.15, kWindow_s = 0.1, kBatch_s = 1e-3;
constexpr int kFewestBatches = 5;

// One stream's work: launches in batches between events.
class Train {
 public:
  Train(cudaStream_t stream, const Launch& launch, double one_s, double window_s)
      : stream_(stream), launch_(launch), per_batch_(std::clamp(static_cast<int>(kBatch_s / one_s), 1, 64)) {
    events_.resize(1 + std::clamp(static_cast<int>(window_s / (per_batch_ * one_s)), 2 * kFewestBatches, 400));
    for (auto& event : events_) PROBE_CUDA(cudaEventCreate(&event));
  }
  ~Train() {
    for (auto& event : events_) cudaEventDestroy(event);
  }
  Train(const Train&) = delete;
  Train& operator=(const Train&) = delete;

  int batches() const { return static_cast<int>(events_.size()) - 1; }
  bool whole() const { return queued_ == batches(); }
  void start() { PROBE_CUDA(cudaEventRecord(events_[0], stream_)); }
  void queue() {
    for (int i = 0; i < per_batch_; ++i) launch_(stream_, next_++);
    PROBE_CUDA(cudaEventRecord(events_[++queued_], stream_));
  }
  // Seconds after `origin` at which batch number i began (i = batches(): at which the last one ended).
  double at(int i, cudaEvent_t origin) const {
    float ms = 0;
    PROBE_CUDA(cudaEventElapsedTime(&ms, origin, events_[i]));
    return ms * 1e-3;
  }
  // Median seconds of a launch over the batches between `from` and `to`; 0 if they are too few.
  double median(cudaEvent_t origin, double from, double to) const {
    std::vector<double> samples;
    for (int i = 0; i < batches(); ++i) {
      const double begin = at(i, origin), end = at(i + 1, origin);
      if (begin >= from && end <= to) samples.push_back((end - begin) / per_batch_);
    }
    return static_cast<int>(samples.size()) < kFewestBatches ? 0 : order_statistics(samples).median;
  }

 private:
  cudaStream_t stream_;
  const Launch& launch_;
  int per_batch_, queued_ = 0, next_ = 0;
  std::vector<cudaEvent_t> events_;
};

// Of the kernel and of the collective; 0: not enough batches.
struct Medians {
  double kernel_s = 0, collective_s = 0;
};

class Pair {
 public:
  Pair(Group& group, Bench& bench, const Launch& kernel, const CollectiveShape& collective)
      : group_(group), bench_(bench), kernel_(kernel), collective_([&group, collective](cudaStream_t, int) { group.run(collective); }) {
    PROBE_CUDA(cudaEventCreate(&origin_));
    collective_one_s_ = group.prepare(collective);
    kernel_one_s_ = group.most(length_of_kernel());
  }
  ~Pair() { cudaEventDestroy(origin_); }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  Medians alone() {
    heat();
    Train kernel(bench_.stream(), kernel_, kernel_one_s_, kWindow_s);
    run(kernel);
    const double kernel_s = kernel.median(origin_, 0, 1e9);
    group_.most(0);
    Train collective(group_.stream(), collective_, collective_one_s_, kWindow_s);
    run(collective);
    return {kernel_s, collective.median(origin_, 0, 1e9)};
  }

  // Both at once. Their batches are queued in turn, so that neither stream runs dry while the host queues the other's.
  Medians together(Reading& reading) {
    heat();
    Train kernel(bench_.stream(), kernel_, kernel_one_s_, kWindow_s);
    Train collective(group_.stream(), collective_, collective_one_s_, kWindow_s);
    group_.most(0);
    PROBE_CUDA(cudaEventRecord(origin_, bench_.stream()));
    PROBE_CUDA(cudaStreamWaitEvent(group_.stream(), origin_));
    kernel.start();
    collective.start();
    while (!kernel.whole() || !collective.whole()) {
      const double kernel_share = double(kernel_queued_) / kernel.batches(),
                   collective_share = double(collective_queued_) / collective.batches();
      if (!kernel.whole() && (collective.whole() || kernel_share <= collective_share)) {
        kernel.queue(), ++kernel_queued_;
      } else {
        collective.queue(), ++collective_queued_;
      }
    }
    kernel_queued_ = collective_queued_ = 0;
    reading = bench_.nvml().read();
    PROBE_CUDA(cudaDeviceSynchronize());
    const double from = std::max(kernel.at(0, origin_), collective.at(0, origin_));
    const double to = std::min(kernel.at(kernel.batches(), origin_), collective.at(collective.batches(), origin_));
    return {kernel.median(origin_, from, to), collective.median(origin_, from, to)};
  }

 private:
  double length_of_kernel() {
    for (int i = 0; i < 2; ++i) kernel_(bench_.stream(), i);
    PROBE_CUDA(cudaStreamSynchronize(bench_.stream()));
    const double start = host_clock_s();
    for (int i = 0; i < 4; ++i) kernel_(bench_.stream(), i);
    PROBE_CUDA(cudaStreamSynchronize(bench_.stream()));
    return (host_clock_s() - start) / 4;
  }
  void heat() {
    const int launches = std::clamp(static_cast<int>(kHeat_s / kernel_one_s_), 1, 5000);
    for (int i = 0; i < launches; ++i) kernel_(bench_.stream(), i);
    PROBE_CUDA(cudaStreamSynchronize(bench_.stream()));
  }
  void run(Train& train) {
    PROBE_CUDA(cudaEventRecord(origin_, bench_.stream()));
    train.start();
    while (!train.whole()) train.queue();
    PROBE_CUDA(cudaDeviceSynchronize());
  }

  Group& group_;
  Bench& bench_;
  const Launch& kernel_;
  Launch collective_;
  double kernel_one_s_ = 0, collective_one_s_ = 0;
  int kernel_queued_ = 0, collective_queued_ = 0;
  cudaEvent_t origin_ = nullptr;
};

Row measure(Group& group, Bench& bench, const Launch& kernel, const CollectiveShape& collective) {
  Pair pair(group, bench, kernel, collective);
  const Medians alone = pair.alone();
  Reading reading;
  const Medians beside = pair.together(reading);
  const bool few = group.most(alone.kernel_s == 0 || alone.collective_s == 0 || beside.kernel_s == 0 || beside.collective_s == 0) > 0;
  if (few) throw Unsupported("one of the two ended before the other was measured");
  Row row;
  row.number("time_s", group.most(beside.kernel_s)).number("alone_s", group.most(alone.kernel_s));
  row.number("beside_time_s", group.most(beside.collective_s)).number("beside_alone_s", group.most(alone.collective_s));
  row.number("channels", group.launched(collective).blocks);
  return row.number("clock_mhz", reading.clock_mhz).number("power_w", reading.power_w).number("temperature_c", reading.temperature_c);
}

struct Victim {
  Row shape;
  std::function<Launch()> make;  // on first use: buffers and plans
};

// What the kernels work on.
struct Operands {
  GemmMemory gemm{std::size_t{1} << 30, true};
};

std::vector<Victim> victims(const std::shared_ptr<Operands>& operands, int sm_count) {
  std::vector<Victim> out;
  for (const auto& [dtype, m, n, k] : {std::tuple{"bf16", 8192, 8192, 8192},
                                       {"bf16", 4096, 14336, 4096},
                                       {"bf16", 4096, 7168, 2048},
                                       {"bf16", 4096, 4096, 4096},
                                       {"fp8", 8192, 8192, 8192},
                                       {"fp8_block", 4096, 7168, 2048}}) {
    const GemmShape shape{dtype, m, n, k};
    out.push_back({shape.row("sustained"), [=]() -> Launch {
                     auto gemm = std::make_shared<LtGemm>(shape, operands->gemm);
                     return [gemm, operands](cudaStream_t s, int i) { gemm->launch(s, i); };
                   }});
  }
  for (const bool backward : {false, true}) {
    AttentionShape shape;
    shape.heads = 32, shape.kv_heads = 8, shape.queries = shape.keys = 4096, shape.backward = backward;
    out.push_back({shape.row("sustained", "cudnn-backend"), [=]() -> Launch {
                     auto sdpa = std::make_shared<Sdpa>(shape, 2);
                     return [sdpa](cudaStream_t s, int i) { sdpa->launch(s, i); };
                   }});
  }
  for (const char* kernel : {"copy", "rms_norm", "swiglu", "adam"}) {
    const MemoryShape shape{kernel, 8192, 7168};
    out.push_back({shape.row("sustained"), [=]() -> Launch {
                     return [=](cudaStream_t stream, int index) {
                       const MemoryBuffers at{operands->gemm.a.at(shape.read_bytes(), index),
                                              operands->gemm.c.at(shape.written_bytes(), index), nullptr, nullptr};
                       launch_memory_kernel(shape, at, sm_count, stream);
                     };
                   }});
  }
  return out;
}

// Long calls first: a short one mostly waits for the SMs of the kernel that runs when it comes (64 MiB shows that).
std::vector<CollectiveShape> neighbours() {
  std::vector<CollectiveShape> out;
  for (const char* kind : {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv"}) {
    out.push_back({kind, std::int64_t{1} << 30, 1, 0});
  }
  out.push_back({"all_reduce", std::int64_t{1} << 26, 1, 0});
  for (const int ctas : {8, 16, 4}) out.push_back({"all_reduce", std::int64_t{1} << 28, 1, ctas});
  for (const char* kind : {"all_gather", "reduce_scatter", "all_to_all", "send_recv"}) out.push_back({kind, std::int64_t{1} << 26, 1, 0});
  return out;
}

Row row_of(const Row& victim, const CollectiveShape& beside, const Ranks& ranks) {
  Row shape;
  return shape.text("op", "interference").object("victim", victim).object("beside", beside.row(ranks));
}

void measure_all(const Options& options, const Ranks& ranks) {
  if (ranks.world == 1) {
    std::cerr << "overlap: one rank only: nothing to overlap with\n";
    return;
  }
  std::size_t most = 0;
  for (const auto& shape : neighbours()) most = std::max(most, scratch_bytes(shape, ranks));
  Group group(options, ranks, job_name() + "-overlap", most);
  Bench bench;
  std::unique_ptr<Session> session;
  if (ranks.rank == 0) session = std::make_unique<Session>(options, "overlap");
  const auto operands = std::make_shared<Operands>();
  const auto list = victims(operands, bench.sm_count());
  for (const auto& beside : neighbours()) {
    for (const Victim& victim : list) {
      group.point(session.get(), row_of(victim.shape, beside, ranks), [&] { return measure(group, bench, victim.make(), beside); });
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  return probe::run_ranks(argc, argv, "overlap", [](const Options& options, const Ranks& ranks) {
    if (!options.list) return measure_all(options, ranks);
    for (const auto& beside : neighbours()) {
      for (const Victim& victim : victims(nullptr, 132)) std::cout << '{' << row_of(victim.shape, beside, ranks).members() << "}\n";
    }
  });
}
