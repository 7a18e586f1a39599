// collective.jsonl: NCCL over every rank that was started (see ranks.h), and a GEMM beside an all-reduce.
//
// Time is the slowest rank's median over batches; every rank takes the same number of batches. Rank 0 decides what is
// measured and writes. With one rank there is nothing to measure: the calls run once, as a smoke test, and no
// row is written.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <vector>

#include "arena.h"
#include "bench.h"
#include "check.h"
#include "lt_gemm.h"
#include "session.h"
#include "traffic.h"

namespace {

using namespace probe;

constexpr int kBatches = 11;
constexpr double kBatch_s = 2e-3;

std::vector<CollectiveShape> points() {
  std::vector<CollectiveShape> out;
  const auto sizes = [](std::int64_t most, std::int64_t step) {
    std::vector<std::int64_t> list;
    for (std::int64_t bytes = most; bytes >= 1024; bytes /= step) list.push_back(bytes);
    return list;
  };
  for (const char* kind : {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv"}) {
    for (const std::int64_t bytes : sizes(std::int64_t{1} << 30, 4)) out.push_back({kind, bytes, 1, 0});
  }
  // 4096 tokens of 7168: fp8 forward, bf16 back.
  for (const std::int64_t tokens : {4096, 1024, 8192, 128}) {
    out.push_back({"dispatch", tokens * 7168, 1, 0});
    out.push_back({"combine", tokens * 14336, 1, 0});
  }
  for (const double imbalance : {2.0, 4.0}) {
    for (const std::int64_t bytes : sizes(std::int64_t{1} << 28, 16)) out.push_back({"all_to_all", bytes, imbalance, 0});
  }
  for (const int ctas : {4, 8, 16, 24, 32}) {
    for (const char* kind : {"all_reduce", "all_to_all", "all_gather", "dispatch"}) {
      for (const std::int64_t bytes : {std::int64_t{1} << 28, std::int64_t{1} << 24}) {
        out.push_back({kind, bytes, 1, ctas});
      }
    }
  }
  for (const char* kind : {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv"}) {
    for (const std::int64_t bytes : sizes(std::int64_t{1} << 29, 4)) out.push_back({kind, bytes, 1, 0});
  }
  return out;
}

class Group {
 public:
  Group(const Options& options, const Ranks& ranks, const std::string& job) : options_(options), ranks_(ranks), job_(job) {
    PROBE_CUDA(cudaSetDevice(device()));
    bench_ = std::make_unique<Bench>();
    PROBE_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    std::size_t most = 0;
    for (const auto& shape : points()) most = std::max(most, scratch_bytes(shape, ranks_));
    send_ = std::make_unique<Arena>(most, Fill::kNormalBf16, 1 + ranks_.rank);
    receive_ = std::make_unique<Arena>(most, Fill::kZero);
    PROBE_CUDA(cudaMalloc(&word_, sizeof *word_));
  }
  ~Group() {
    for (auto& [ctas, communicator] : communicators_) ncclCommDestroy(communicator);
    cudaFree(word_);
    cudaStreamDestroy(stream_);
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  int device() const {
    int count = 0;
    PROBE_CUDA(cudaGetDeviceCount(&count));
    // With one visible GPU a process (CUDA_VISIBLE_DEVICES by the launcher) that one is ours.
    return count == 1 ? 0 : ranks_.local_rank % count;
  }

  ncclComm_t communicator(int ctas) {
    auto& found = communicators_[ctas];
    if (!found) found = connect(ranks_, options_.output, job_ + "-" + std::to_string(ctas), ctas);
    return found;
  }

  void run(const CollectiveShape& shape) {
    launch_collective(shape, ranks_, communicator(shape.max_ctas), send_->data(), receive_->data(), stream_);
  }
  void wait() { PROBE_CUDA(cudaStreamSynchronize(stream_)); }

  // The largest of all ranks' values; also a barrier.
  double most(double value) {
    PROBE_CUDA(cudaMemcpyAsync(word_, &value, sizeof value, cudaMemcpyHostToDevice, stream_));
    PROBE_NCCL(ncclAllReduce(word_, word_, 1, ncclFloat64, ncclMax, communicator(0), stream_));
    PROBE_CUDA(cudaMemcpyAsync(&value, word_, sizeof value, cudaMemcpyDeviceToHost, stream_));
    wait();
    return value;
  }

  Row measure(const CollectiveShape& shape) {
    // Connections are made on first use, per communicator, kind and size: two unmeasured rounds.
    for (int i = 0; i < 2; ++i) run(shape);
    wait();
    const double start = host_clock_s();
    run(shape);
    wait();
    const double estimate = most(host_clock_s() - start);
    const int per_batch = std::clamp(static_cast<int>(kBatch_s / estimate), 1, 50);
    cudaEvent_t events[kBatches + 1];
    for (auto& event : events) PROBE_CUDA(cudaEventCreate(&event));
    most(0);
    PROBE_CUDA(cudaEventRecord(events[0], stream_));
    for (int batch = 0; batch < kBatches; ++batch) {
      for (int i = 0; i < per_batch; ++i) run(shape);
      PROBE_CUDA(cudaEventRecord(events[batch + 1], stream_));
    }
    wait();
    std::vector<double> samples;
    for (int batch = 0; batch < kBatches; ++batch) {
      float ms = 0;
      PROBE_CUDA(cudaEventElapsedTime(&ms, events[batch], events[batch + 1]));
      samples.push_back(ms * 1e-3 / per_batch);
    }
    for (auto& event : events) PROBE_CUDA(cudaEventDestroy(event));
    const Order order = order_statistics(samples);
    const Reading reading = bench_->nvml().read();
    Timing timing;
    timing.median_s = most(order.median), timing.min_s = most(order.min), timing.p90_s = most(order.p90);
    timing.samples = kBatches;
    timing.clock_mhz = reading.clock_mhz, timing.power_w = reading.power_w;
    timing.temperature_c = reading.temperature_c;
    return timing.row();
  }

  // A GEMM while all-reduces follow each other on another stream of every rank.
  Row measure_beside(const GemmShape& gemm_shape, const CollectiveShape& beside) {
    if (!memory_) memory_ = std::make_unique<GemmMemory>(std::size_t{1} << 30, false);
    const LtGemm gemm(gemm_shape, *memory_);
    const Launch launch = [&](cudaStream_t stream, int index) { gemm.launch(stream, index); };
    BenchOptions options;
    options.graph = false;
    options.spend_s = 0;  // one group of batches: its length is known
    const Timing alone = bench_->measure(launch, options);
    for (int i = 0; i < 3; ++i) run(beside);
    wait();
    const double start = host_clock_s();
    for (int i = 0; i < 3; ++i) run(beside);
    wait();
    const double one_s = most((host_clock_s() - start) / 3);
    const int calls = static_cast<int>(0.1 / one_s) + 2;
    for (int i = 0; i < calls; ++i) run(beside);
    const Timing timing = bench_->measure(launch, options);
    const bool covered = cudaStreamQuery(stream_) == cudaErrorNotReady;
    wait();
    if (most(covered ? 0 : 1) > 0) throw Unsupported("the collective ended before the GEMM was measured");
    Row row = timing.row();
    return row.number("alone_s", alone.median_s);
  }

 private:
  Options options_;
  Ranks ranks_;
  std::string job_;
  std::unique_ptr<Bench> bench_;
  std::unique_ptr<Arena> send_, receive_;
  std::unique_ptr<GemmMemory> memory_;
  std::map<int, ncclComm_t> communicators_;
  cudaStream_t stream_ = nullptr;
  double* word_ = nullptr;
};

// Rank 0's decision reaches all ranks, all measure, rank 0 writes.
void point(Group& group, Session* session, const Row& shape, const std::function<Row()>& measure) {
  if (group.most(session && session->wants(shape) ? 1 : 0) == 0) return;
  Row result;
  try {
    result = measure();
  } catch (const Unsupported& reason) {
    result.text("unsupported", reason.what());
  }
  if (session) session->record(shape, result);
}

void measure_all(const Options& options, const Ranks& ranks, const std::string& job) {
  Group group(options, ranks, job);
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
  for (const auto& shape : points()) {
    point(group, session.get(), shape.row(ranks), [&] { return group.measure(shape); });
  }
  for (const int ctas : {0, 8, 16, 24}) {
    const CollectiveShape beside{"all_reduce", std::int64_t{1} << 26, 1, ctas};
    for (const auto& [m, n, k] : {std::tuple{4096, 7168, 2048}, std::tuple{8192, 8192, 8192}}) {
      const GemmShape gemm{"bf16", m, n, k};
      Row shape;
      shape.text("op", "interference").object("victim", gemm.row("burst")).object("beside", beside.row(ranks));
      point(group, session.get(), shape, [&] { return group.measure_beside(gemm, beside); });
    }
  }
}

std::string job_name() {
  for (const char* variable : {"TRILLION_PROBE_JOB", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"}) {
    if (const char* value = std::getenv(variable)) {
      const char* step = std::getenv("SLURM_STEP_ID");
      return std::string(value) + (step ? std::string("-") + step : "");
    }
  }
  return "local";
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse_options(argc, argv);
    const Ranks ranks = ranks_from_environment();
    if (options.list) {
      for (const auto& shape : points()) std::cout << '{' << shape.row(ranks).members() << "}\n";
    } else {
      measure_all(options, ranks, job_name());
    }
    return 0;
  } catch (const std::invalid_argument& error) {
    std::cerr << "collective: " << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "collective: " << error.what() << '\n';
    return 1;
  }
}
